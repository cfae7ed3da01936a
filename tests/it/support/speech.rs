//! What users say most, in a word each.

use serde_json::{Value, json};

use super::user::User;

impl User {
    /// Adds others to a group.
    pub(crate) async fn adds(&self, chat: &str, others: &[&User]) {
        let ids: Vec<&str> = others.iter().map(|user| user.id.as_str()).collect();
        let input = json!({ "chatId": chat, "userIds": ids });
        self.does("addParticipants", "", input).await;
    }

    /// Removes another from a group.
    pub(crate) async fn removes(&self, chat: &str, other: &User) {
        let input = json!({ "chatId": chat, "userId": other.id });
        self.does("removeParticipant", "", input).await;
    }

    /// Gives another a role.
    pub(crate) async fn makes(&self, chat: &str, other: &User, role: &str) {
        let input = json!({ "chatId": chat, "userId": other.id, "role": role });
        self.does("changeParticipantRole", "", input).await;
    }

    /// Leaves a group.
    pub(crate) async fn leaves(&self, chat: &str) {
        self.does("leaveChat", "", json!({ "chatId": chat })).await;
    }

    /// Deletes a chat.
    pub(crate) async fn deletes_chat(&self, chat: &str) {
        self.does("deleteChat", "", json!({ "chatId": chat })).await;
    }

    /// Restores a chat.
    pub(crate) async fn restores_chat(&self, chat: &str) {
        let input = json!({ "chatId": chat });
        self.does("restoreChat", "", input).await;
    }

    /// Gives a group another title.
    pub(crate) async fn renames(&self, chat: &str, title: &str) {
        let input = json!({ "chatId": chat, "title": title });
        self.does("renameChat", "", input).await;
    }

    /// Changes a message's text.
    pub(crate) async fn edits(&self, message: &str, body: &str) {
        let input = json!({ "messageId": message, "body": body });
        self.does("editMessage", "", input).await;
    }

    /// Deletes a message.
    pub(crate) async fn deletes(&self, message: &str) {
        let input = json!({ "messageId": message });
        self.does("deleteMessage", "", input).await;
    }

    /// Restores a message.
    pub(crate) async fn restores(&self, message: &str) {
        let input = json!({ "messageId": message });
        self.does("restoreMessage", "", input).await;
    }

    /// Marks a chat read up to a message.
    pub(crate) async fn reads(&self, chat: &str, message: &str) {
        let input = json!({ "chatId": chat, "messageId": message });
        self.does("markChatRead", "", input).await;
    }

    /// How many messages of a chat are unread.
    pub(crate) async fn unread(&self, chat: &str) -> i64 {
        let chat = self.chat(chat, "unreadCount").await;
        chat["unreadCount"].as_i64().unwrap()
    }

    /// Fields of a message.
    pub(crate) async fn message(&self, message: &str, fields: &str) -> Value {
        let query =
            format!("query ($id: ID!) {{ node(id: $id) {{ ... on Message {{ {fields} }} }} }}");
        self.ask(&query, json!({ "id": message })).await["node"].clone()
    }

    /// Who is in a chat and as what: `alice OWNER`.
    pub(crate) async fn people(&self, chat: &str) -> Vec<String> {
        let fields = "participants { nodes { user { id } role } }";
        let chat = self.chat(chat, fields).await;
        let nodes = chat["participants"]["nodes"].as_array().unwrap();
        let line = |node: &Value| {
            let (id, role) = (&node["user"]["id"], &node["role"]);
            format!("{} {}", id.as_str().unwrap(), role.as_str().unwrap())
        };
        nodes.iter().map(line).collect()
    }

    /// The ids of the user's chats, with a filter.
    pub(crate) async fn lists(&self, filter: Value) -> Vec<String> {
        let query = "query ($filter: ChatFilterInput) { chats(filter: $filter) { nodes { id } } }";
        let data = self.ask(query, json!({ "filter": filter })).await;
        let nodes = data["chats"]["nodes"].as_array().unwrap();
        let id = |node: &Value| node["id"].as_str().unwrap().to_owned();
        nodes.iter().map(id).collect()
    }
}
