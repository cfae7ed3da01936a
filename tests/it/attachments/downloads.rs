//! The log of downloads.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

impl User {
    /// A page of the log: who, and which attachment.
    async fn downloads(&self, args: &str) -> Value {
        let query = format!(
            "{{ attachmentDownloads{args} {{ nodes {{ attachmentId attachment {{ name }} user {{ id }} occurredAt }} \
             edges {{ cursor }} pageInfo {{ hasNextPage hasPreviousPage }} }} }}"
        );
        self.ask(&query, json!({})).await["attachmentDownloads"].clone()
    }
}

fn who(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| {
            let name = node["attachment"]["name"].as_str().unwrap_or("gone");
            format!("{} {name}", node["user"]["id"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn administrators_see_who_was_given_what() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let root = server.user("root").permitted(&["colloquy:admin"]);
        let foreign = server.user_of("elsewhere", "root");
        let foreign = foreign.with_token({
            let mut claims = foreign.claims();
            claims.tenant = Some("elsewhere".to_owned());
            claims.permissions = vec!["colloquy:admin".to_owned()];
            foreign.sign(&claims)
        });
        let first = alice.uploads("first", "text/plain", b"one").await;
        let second = bob.uploads("second", "text/plain", b"two").await;
        let none: [&str; 0] = [];
        assert_eq!(who(&root.downloads("").await), none);
        // What is not asked for, and what is not given, is not written down.
        alice.attachment(&first, "id name").await;
        assert_eq!(alice.download_url(&second).await, None);
        assert_eq!(who(&root.downloads("").await), none);
        alice.download_url(&first).await.unwrap();
        bob.download_url(&second).await.unwrap();
        alice.download_url(&first).await.unwrap();
        let all = root.downloads("").await;
        assert_eq!(who(&all), ["alice first", "bob second", "alice first"]);
        assert_eq!(all["nodes"][0]["attachmentId"], json!(first));
        assert!(all["nodes"][0]["occurredAt"].is_string());
        let of_one = format!("(attachmentId: \"{second}\")");
        assert_eq!(who(&root.downloads(&of_one).await), ["bob second"]);
        assert_eq!(
            who(&root.downloads("(attachmentId: \"nonsense\")").await),
            none
        );
        // In pages, both ways.
        let page = root.downloads("(first: 2)").await;
        assert_eq!(who(&page), ["alice first", "bob second"]);
        assert_eq!(
            page["pageInfo"],
            json!({ "hasNextPage": true, "hasPreviousPage": false })
        );
        let cursor = page["edges"][1]["cursor"].to_string();
        let rest = root.downloads(&format!("(after: {cursor})")).await;
        assert_eq!(who(&rest), ["alice first"]);
        assert_eq!(
            rest["pageInfo"],
            json!({ "hasNextPage": false, "hasPreviousPage": true })
        );
        let front = root
            .downloads(&format!("(last: 1, before: {cursor})"))
            .await;
        assert_eq!(who(&front), ["alice first"]);
        assert_eq!(
            front["pageInfo"],
            json!({ "hasNextPage": true, "hasPreviousPage": false })
        );
        // It is for administrators, each of their own tenant.
        let query = "{ attachmentDownloads { nodes { attachmentId } } }";
        assert_eq!(alice.codes(query, json!({})).await, ["FORBIDDEN"]);
        assert_eq!(who(&foreign.downloads("").await), none);
        let of_one = format!("(attachmentId: \"{first}\")");
        assert_eq!(who(&foreign.downloads(&of_one).await), none);
        // A cursor of one list is none of another.
        let other = format!(
            "{{ attachmentDownloads(after: {cursor}, attachmentId: \"{first}\") {{ nodes {{ attachmentId }} }} }}"
        );
        assert_eq!(root.codes(&other, json!({})).await, ["BAD_USER_INPUT"]);
    });
}
