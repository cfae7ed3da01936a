//! The events that clients emit, each of which is a document of the API.

use async_graphql::{Request, Variables};
use serde_json::{Map, Value};

/// An event that a client emits.
#[derive(Debug)]
pub(super) struct Event {
    /// What it is called.
    pub(super) name: &'static str,
    /// What its one argument may have.
    pub(super) members: &'static [&'static str],
    /// What it does.
    pub(super) does: Does,
}

/// What an event does.
#[derive(Debug)]
pub(super) enum Does {
    /// It runs a document, and its acknowledgement has what came of it.
    Run(&'static str),
    /// It begins to follow something.
    Follow(&'static Follow),
    /// It ends that.
    Unfollow(&'static Follow),
}

/// Something that can be followed.
#[derive(Debug)]
pub(super) struct Follow {
    /// The subscription.
    document: &'static str,
    /// What stands in front of an item in an answer to it.
    pub(super) root: &'static str,
    /// The event that tells an item.
    pub(super) item: &'static str,
    /// The event that tells the end.
    pub(super) end: &'static str,
    /// Whether it is of one chat, whose id is told with each item.
    pub(super) of_chat: bool,
}

macro_rules! document {
    ($file:literal) => {
        include_str!(concat!("documents/", $file, ".graphql"))
    };
    ($file:literal, $fragment:literal) => {
        concat!(document!($file), document!($fragment))
    };
}

static CHAT: Follow = Follow {
    document: document!("chat_events", "message.fragment"),
    root: r#"{"data":{"chatEvents":"#,
    item: "chat:event",
    end: "chat:end",
    of_chat: true,
};

static CHATS: Follow = Follow {
    document: document!("chat_updates"),
    root: r#"{"data":{"chatUpdates":"#,
    item: "chat:update",
    end: "chats:end",
    of_chat: false,
};

static SIGNALS: Follow = Follow {
    document: document!("chat_signals"),
    root: r#"{"data":{"chatSignals":"#,
    item: "chat:signal",
    end: "signals:end",
    of_chat: true,
};

/// All events.
pub(super) static EVENTS: [Event; 9] = [
    Event {
        name: "chat:follow",
        members: &["chatId", "after"],
        does: Does::Follow(&CHAT),
    },
    Event {
        name: "chat:unfollow",
        members: &["chatId"],
        does: Does::Unfollow(&CHAT),
    },
    Event {
        name: "chats:follow",
        members: &[],
        does: Does::Follow(&CHATS),
    },
    Event {
        name: "chats:unfollow",
        members: &[],
        does: Does::Unfollow(&CHATS),
    },
    Event {
        name: "signals:follow",
        members: &["chatId"],
        does: Does::Follow(&SIGNALS),
    },
    Event {
        name: "signals:unfollow",
        members: &["chatId"],
        does: Does::Unfollow(&SIGNALS),
    },
    Event {
        name: "message:send",
        members: &[
            "chatId",
            "body",
            "subject",
            "replyToId",
            "attachmentIds",
            "metadata",
            "idempotencyKey",
        ],
        does: Does::Run(document!("send_message", "message.fragment")),
    },
    Event {
        name: "chat:read",
        members: &["chatId", "messageId"],
        does: Does::Run(document!("mark_chat_read")),
    },
    Event {
        name: "chat:typing",
        members: &["chatId", "typing"],
        does: Does::Run(document!("set_typing")),
    },
];

/// The event of a name.
pub(super) fn find(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.name == name)
}

impl Event {
    /// The request of the API that the event is, where it is one.
    pub(super) fn request(&self, argument: Map<String, Value>) -> Option<Request> {
        let document = match &self.does {
            Does::Run(document) => document,
            Does::Follow(follow) => follow.document,
            Does::Unfollow(_) => return None,
        };
        let variables = Variables::from_json(Value::Object(argument));
        Some(Request::new(document).variables(variables))
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::types::OperationType;
    use serde_json::json;

    use super::*;
    use crate::graphql::{SchemaOptions, prepare, schema};

    fn of_type(name: &str) -> Value {
        match name {
            "metadata" => json!({}),
            "typing" => json!(true),
            "attachmentIds" => json!(["x"]),
            _ => json!("x"),
        }
    }

    #[tokio::test]
    async fn every_event_fits_the_schema() {
        let schema = schema(SchemaOptions::default());
        for event in &EVENTS {
            let members = event.members.iter();
            let argument = members.map(|name| ((*name).to_owned(), of_type(name)));
            let Some(request) = event.request(argument.collect()) else {
                continue;
            };
            let prepared = prepare(&schema, request, true).unwrap();
            let kind = match &event.does {
                Does::Run(_) => OperationType::Mutation,
                Does::Follow(_) | Does::Unfollow(_) => OperationType::Subscription,
            };
            assert_eq!(prepared.kind(), kind, "{}", event.name);
            let (Does::Run(document) | Does::Follow(Follow { document, .. })) = &event.does else {
                continue;
            };
            let head = document.split('{').next().unwrap();
            let mut declared: Vec<&str> = head.split('$').skip(1).collect();
            for name in &mut declared {
                *name = name.split(':').next().unwrap();
            }
            declared.sort_unstable();
            let mut members = event.members.to_vec();
            members.sort_unstable();
            assert_eq!(declared, members, "{}", event.name);
        }
    }

    #[test]
    fn what_begins_can_be_ended() {
        for event in &EVENTS {
            let Does::Follow(follow) = &event.does else {
                continue;
            };
            let end = event.name.replace(":follow", ":unfollow");
            let ended = find(&end).map(|event| &event.does);
            assert!(
                matches!(ended, Some(Does::Unfollow(other)) if std::ptr::eq(*other, *follow)),
                "{end}"
            );
        }
    }
}
