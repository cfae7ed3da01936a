//! Connections, by the Relay cursor connections specification.

use async_graphql::parser::types::Field;
use async_graphql::{SimpleObject, Value};

use super::at_once::{AtOnce, Look, QuickList};
use super::attachment_download::AttachmentDownload;
use super::chat::Chat;
use super::message::Message;
use super::participant::Participant;
use super::receipt::MessageReceipt;
use super::revision::MessageRevision;
use super::trail::AuditRecord;
use crate::model::{ListCursor, ListKey, PageArgs, Slice, Stop};

/// Where a page stands in its list.
#[derive(Debug, SimpleObject)]
pub(super) struct PageInfo {
    /// Whether the list has elements behind this page.
    has_next_page: bool,
    /// Whether the list has elements in front of this page.
    has_previous_page: bool,
    /// The cursor of the page's first element. Null where the page is empty. Where a filtered list was not looked through
    /// to its start, it stands where the looking stopped, also of an empty page.
    start_cursor: Option<String>,
    /// The cursor of the page's last element. Null where the page is empty. Where a filtered list was not looked through
    /// to its end, it stands where the looking stopped, also of an empty page.
    end_cursor: Option<String>,
}

/// An element that knows its place in its list.
pub(super) trait Listed: Clone {
    /// The place.
    fn place(&self) -> ListCursor;
}

/// The four arguments of a connection field.
pub(super) fn page_args(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> PageArgs {
    PageArgs {
        first,
        after,
        last,
        before,
    }
}

/// Where a page stands in its list.
pub(super) fn page_info<T: Listed>(slice: &Slice<T>, list: &ListKey) -> PageInfo {
    let cursor = |element: &T| element.place().encode(list);
    let (mut start_cursor, mut end_cursor) = (
        slice.items.first().map(cursor),
        slice.items.last().map(cursor),
    );
    match &slice.stop {
        None => {}
        Some(Stop::Start(place)) => start_cursor = Some(place.encode(list)),
        Some(Stop::End(place)) => end_cursor = Some(place.encode(list)),
    }
    PageInfo {
        has_next_page: slice.has_next,
        has_previous_page: slice.has_previous,
        start_cursor,
        end_cursor,
    }
}

/// Declares the connection and edge types of a node type.
macro_rules! connection {
    ($(#[$connection_doc:meta])* $connection:ident, $(#[$edge_doc:meta])* $edge:ident, $node:ident) => {
        $(#[$connection_doc])*
        #[derive(Debug)]
        pub(super) struct $connection {
            list: ListKey,
            slice: Slice<$node>,
        }

        impl $connection {
            pub(super) fn new(list: ListKey, slice: Slice<$node>) -> Self {
                Self { list, slice }
            }
        }

        $(#[$connection_doc])*
        #[async_graphql::Object]
        impl $connection {
            /// The page's elements, each with its cursor.
            async fn edges(&self) -> QuickList<$edge> {
                let edge = |node: &$node| $edge {
                    cursor: node.place().encode(&self.list),
                    node: node.clone(),
                };
                QuickList(self.slice.items.iter().map(edge).collect())
            }

            /// The page's elements.
            async fn nodes(&self) -> QuickList<$node> {
                QuickList(self.slice.items.clone())
            }

            /// Where the page stands in the list.
            async fn page_info(&self) -> PageInfo {
                page_info(&self.slice, &self.list)
            }
        }

        $(#[$edge_doc])*
        #[derive(Debug, SimpleObject)]
        pub(super) struct $edge {
            /// The element's place in the list, for `after` and `before`. It is opaque, and works only
            /// for the list it came from.
            cursor: String,
            /// The element.
            node: $node,
        }

        impl AtOnce for $edge {
            fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
                match field.name.node.as_str() {
                    "cursor" => Some(self.cursor.as_str().into()),
                    "node" => look.object(&self.node, &field.selection_set.node),
                    _ => None,
                }
            }
        }
    };
}

connection!(
    /// A page of a list of chats.
    ChatConnection,
    /// A chat in a list of chats.
    ChatEdge,
    Chat
);
connection!(
    /// A page of the downloads of attachments.
    AttachmentDownloadConnection,
    /// A download in the list of downloads.
    AttachmentDownloadEdge,
    AttachmentDownload
);
connection!(
    /// A page of the messages of a chat.
    MessageConnection,
    /// A message in the list of a chat's messages.
    MessageEdge,
    Message
);
connection!(
    /// A page of the earlier texts of a message.
    MessageRevisionConnection,
    /// A text in the list of a message's earlier texts.
    MessageRevisionEdge,
    MessageRevision
);
connection!(
    /// A page of the receipts of a message.
    MessageReceiptConnection,
    /// A receipt in the list of a message's receipts.
    MessageReceiptEdge,
    MessageReceipt
);
connection!(
    /// A page of the audit trail.
    AuditRecordConnection,
    /// An entry in the audit trail.
    AuditRecordEdge,
    AuditRecord
);
connection!(
    /// A page of the participants of a chat.
    ParticipantConnection,
    /// A participant in the list of a chat's participants.
    ParticipantEdge,
    Participant
);
