//! Short texts of the file with places for what a parcel is about: `{tenantId}`, `{chatId}`, `{recipientId}`.

use serde_json::Value;

use super::Parcel;

/// The names of the places.
const NAMES: [&str; 3] = ["tenantId", "chatId", "recipientId"];

/// A text with places.
#[derive(Debug, Clone)]
pub(super) struct Template(String);

impl Template {
    /// A text whose every `{` begins a place that is known.
    pub(super) fn new(text: String) -> Result<Self, String> {
        for part in text.split('{').skip(1) {
            let name = part.split_once('}').map(|(name, _)| name);
            if !name.is_some_and(|name| NAMES.contains(&name)) {
                return Err(
                    "a text has the places {tenantId}, {chatId} and {recipientId}".to_owned(),
                );
            }
        }
        Ok(Self(text))
    }

    /// The text for a parcel; `None` where it has a place for what the parcel has not. `escape` is done to what is put in.
    pub(super) fn fill(&self, parcel: &Parcel, escape: fn(&str) -> String) -> Option<String> {
        let value = |name: &str| match name {
            "chatId" => Some(escape(&parcel.chat_id.to_string())),
            "recipientId" => Some(escape(parcel.recipient.as_ref()?.as_str())),
            _ => parcel
                .data
                .get("tenantId")
                .and_then(Value::as_str)
                .map(escape),
        };
        let mut parts = self.0.split('{');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}')?;
            filled.push_str(&value(name)?);
            filled.push_str(rest);
        }
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::model::{ChatId, UserId};

    #[test]
    fn places_are_filled_and_unknown_ones_refused() {
        let mut parcel = Parcel {
            id: "ntf_1".to_owned(),
            kind: "notification.created",
            at: DateTime::UNIX_EPOCH,
            chat_id: ChatId(Uuid::nil()),
            recipient: Some(UserId::new("a/b").unwrap()),
            data: json!({ "tenantId": "acme" }),
        };
        let template = Template::new("{tenantId}-{recipientId}}".to_owned()).unwrap();
        let plain = |text: &str| text.to_owned();
        assert_eq!(template.fill(&parcel, plain).unwrap(), "acme-a/b}");
        let escaped = template.fill(&parcel, |text| text.replace('/', "%2F"));
        assert_eq!(escaped.unwrap(), "acme-a%2Fb}");
        parcel.recipient = None;
        assert_eq!(template.fill(&parcel, plain), None);
        for text in ["{userId}", "{chatId", "{}", "{{chatId}}"] {
            assert!(Template::new(text.to_owned()).is_err(), "{text}");
        }
    }
}
