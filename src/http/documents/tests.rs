use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::persisted::hash_of;
use super::trusted::Fault;
use super::*;
use crate::fuzz::{mutated, text};

const LISTED: &str = "query Listed { viewer { id } }";
const OTHER: &str = "query Other { viewer { name } }";

fn request(members: &Value) -> GraphQlRequest {
    let body = members.to_string();
    match crate::http::request::Body::from_json(body.as_bytes(), None) {
        Ok(crate::http::request::Body::One(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn sends(text: &str) -> GraphQlRequest {
    request(&json!({ "query": text }))
}

fn hashed(hash: &str, text: Option<&str>) -> GraphQlRequest {
    let persisted = json!({ "version": 1, "sha256Hash": hash });
    request(&json!({ "query": text, "extensions": { "persistedQuery": persisted } }))
}

fn named(id: &str, text: Option<&str>) -> GraphQlRequest {
    request(&json!({ "documentId": id, "query": text }))
}

fn resolve(documents: &Documents, request: GraphQlRequest) -> Result<String, DocumentError> {
    let resolved = documents.resolve(request)?;
    Ok(resolved.request.query)
}

fn codegen(entries: &[(&str, &str)]) -> Result<TrustedDocuments, Fault> {
    let entries = entries
        .iter()
        .map(|(id, text)| ((*id).to_owned(), json!(text)));
    TrustedDocuments::parse(&Value::Object(entries.collect()).to_string())
}

fn apollo(operations: &Value) -> Result<TrustedDocuments, Fault> {
    let file = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": operations });
    TrustedDocuments::parse(&file.to_string())
}

fn trusting(required: bool) -> Documents {
    Documents::default().trusting(codegen(&[("d1", LISTED)]).unwrap(), required)
}

#[test]
fn a_document_is_persisted_only_when_it_is_said_to_be() {
    let documents = Documents::default();
    let hash = hash_of(OTHER);
    let unknown = resolve(&documents, hashed(&hash, None)).unwrap_err();
    assert_eq!(unknown, DocumentError::NotFound);
    assert_eq!(unknown.to_string(), "PersistedQueryNotFound");
    assert_eq!(unknown.code(), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);

    let first = documents.resolve(hashed(&hash, Some(OTHER))).unwrap();
    assert_eq!(first.request.query, OTHER);
    // Whoever sent it may be nobody.
    let still = resolve(&documents, hashed(&hash, None));
    assert_eq!(still, Err(DocumentError::NotFound));

    documents.clone().remember(first.remember.unwrap(), OTHER);
    let found = documents.resolve(hashed(&hash, None)).unwrap();
    assert_eq!(found.request.query, OTHER);
    assert_eq!(found.remember, None);
}

#[test]
fn the_rest_of_a_request_goes_with_a_document_that_is_looked_up() {
    let members = json!({ "documentId": "d1", "operationName": "Listed", "variables": { "a": 1 } });
    let resolved = trusting(true).resolve(request(&members)).unwrap();
    assert_eq!(resolved.request.operation_name.as_deref(), Some("Listed"));
    let variables = resolved.request.variables.into_value().into_json().unwrap();
    assert_eq!(variables, json!({ "a": 1 }));
}

#[test]
fn a_hash_that_is_of_another_text_is_refused_and_not_persisted() {
    let documents = Documents::default();
    for hash in [
        hash_of(LISTED),
        hash_of(OTHER).to_uppercase(),
        String::new(),
    ] {
        let error = resolve(&documents, hashed(&hash, Some(OTHER))).unwrap_err();
        assert_eq!(error, DocumentError::OtherHash, "{hash}");
        assert_eq!(error.to_string(), "provided sha does not match query");
        assert_eq!(error.code(), "BAD_USER_INPUT");
    }
}

#[test]
fn the_extension_is_of_version_1() {
    let hash = hash_of(OTHER);
    for (extension, error) in [
        (
            json!({ "version": 2, "sha256Hash": hash }),
            DocumentError::Version,
        ),
        (
            json!({ "version": "1", "sha256Hash": hash }),
            DocumentError::Version,
        ),
        (json!({ "sha256Hash": hash }), DocumentError::Version),
        (json!([1]), DocumentError::Version),
        (json!(true), DocumentError::Version),
        (json!({ "version": 1 }), DocumentError::NoHash),
        (
            json!({ "version": 1, "sha256Hash": 7 }),
            DocumentError::NoHash,
        ),
    ] {
        let extensions = json!({ "persistedQuery": extension });
        for documents in [Documents::default(), Documents::new(0), trusting(true)] {
            let request = request(&json!({ "query": LISTED, "extensions": extensions }));
            assert_eq!(resolve(&documents, request), Err(error), "{extensions}");
            assert_eq!(error.code(), "BAD_USER_INPUT");
        }
    }
}

#[test]
fn where_nothing_is_persisted_clients_are_told_so() {
    let documents = Documents::new(0);
    let hash = hash_of(OTHER);
    for request in [
        hashed(&hash, None),
        hashed(&hash, Some(OTHER)),
        named("d1", None),
    ] {
        let error = resolve(&documents, request).unwrap_err();
        assert_eq!(error, DocumentError::NotSupported);
        assert_eq!(error.to_string(), "PersistedQueryNotSupported");
        assert_eq!(error.code(), "PERSISTED_QUERY_NOT_SUPPORTED");
    }
    assert_eq!(resolve(&documents, sends(OTHER)).as_deref(), Ok(OTHER));
    let both = resolve(&documents, named("d1", Some(OTHER)));
    assert_eq!(both.as_deref(), Ok(OTHER));
}

#[test]
fn a_listed_document_runs_however_it_is_named() {
    let hash = hash_of(LISTED);
    let prefixed = format!("sha256:{hash}");
    for required in [true, false] {
        let documents = trusting(required);
        for request in [
            sends(LISTED),
            named("d1", None),
            named("d1", Some(LISTED)),
            named(&hash, None),
            named(&prefixed, None),
            named("unknown", Some(LISTED)),
            hashed(&hash, None),
            hashed(&hash, Some(LISTED)),
            hashed("d1", None),
        ] {
            let resolved = documents.resolve(request.clone()).unwrap();
            assert_eq!(resolved.request.query, LISTED, "{request:?}");
            assert_eq!(resolved.remember, None, "{request:?}");
        }
    }
}

#[test]
fn where_it_is_required_no_other_document_runs() {
    use DocumentError::{NotListed, NotTrusted, OtherHash, OtherText};
    let documents = trusting(true);
    assert!(documents.are_required());
    let hash = hash_of(OTHER);
    for (request, error) in [
        (sends(OTHER), NotTrusted),
        (sends(&format!("{LISTED} ")), NotTrusted),
        (sends("{ __schema { queryType { name } } }"), NotTrusted),
        (named("d2", None), NotListed),
        (named("d2", Some(OTHER)), NotTrusted),
        (named("d1", Some(OTHER)), OtherText),
        (hashed(&hash, None), NotListed),
        (hashed(&hash, Some(OTHER)), NotTrusted),
        (hashed(&hash, Some(LISTED)), NotTrusted),
        (hashed(&hash_of(LISTED), Some(OTHER)), OtherHash),
    ] {
        assert_eq!(
            resolve(&documents, request.clone()),
            Err(error),
            "{request:?}"
        );
    }
    // Nor does one become known.
    let checked = Checked::new(&hash, OTHER).unwrap();
    documents.remember(checked, OTHER);
    assert_eq!(resolve(&documents, hashed(&hash, None)), Err(NotListed));
    assert_eq!(NotListed.status(), StatusCode::NOT_FOUND);
    assert_eq!(NotListed.code(), "PERSISTED_QUERY_NOT_IN_LIST");
    assert_eq!(NotTrusted.status(), StatusCode::FORBIDDEN);
    assert_eq!(NotTrusted.code(), "QUERY_NOT_IN_SAFELIST");
}

#[test]
fn where_it_is_allowed_other_documents_run_and_are_persisted() {
    let documents = trusting(false);
    assert_eq!(resolve(&documents, sends(OTHER)).as_deref(), Ok(OTHER));
    let unlisted = resolve(&documents, named("d2", None));
    assert_eq!(unlisted, Err(DocumentError::NotListed));
    let hash = hash_of(OTHER);
    let resolved = documents.resolve(hashed(&hash, Some(OTHER))).unwrap();
    documents.remember(resolved.remember.unwrap(), OTHER);
    assert_eq!(
        resolve(&documents, hashed(&hash, None)).as_deref(),
        Ok(OTHER)
    );
}

#[test]
fn the_answer_says_the_code_and_nothing_that_was_sent() {
    let error = resolve(&trusting(true), named("m4rk", Some("{m4rk}"))).unwrap_err();
    let response = serde_json::to_value(error.response()).unwrap();
    assert_eq!(
        response["errors"][0]["extensions"]["code"],
        "QUERY_NOT_IN_SAFELIST"
    );
    assert!(!response.to_string().contains("m4rk"), "{response}");
    // Metrics know the codes.
    for error in [
        DocumentError::NotFound,
        DocumentError::NotSupported,
        DocumentError::NotListed,
        DocumentError::NotTrusted,
        DocumentError::Missing,
    ] {
        let counted = crate::graphql::code_of_response(&error.response());
        assert_eq!(counted, error.code());
    }
}

#[test]
fn both_formats_of_files_are_read() {
    let hash = hash_of(LISTED);
    let sha1 = "0a4d55a8d778e5022fab701977c5d840bbc486d0";
    for documents in [
        codegen(&[(sha1, LISTED), ("d2", OTHER)]),
        codegen(&[(&format!("sha256:{hash}"), LISTED), ("d2", OTHER)]),
        codegen(&[(&hash, LISTED), ("same", LISTED), ("sha1:d2", OTHER)]),
        apollo(&json!([
            { "id": hash, "name": "Listed", "type": "query", "body": LISTED },
            { "id": "d2", "name": "Other", "type": "query", "body": OTHER },
        ])),
    ] {
        let documents = documents.unwrap();
        assert_eq!(documents.len(), 2);
        for id in [&hash, &format!("sha256:{hash}")] {
            assert_eq!(documents.find(id), Some(LISTED));
        }
        assert_eq!(documents.find("d2"), Some(OTHER));
        assert_eq!(documents.find("sha256:"), None);
        assert!(documents.holds(LISTED) && documents.holds(OTHER) && !documents.holds("{a}"));
    }
    let by_sha1 = codegen(&[(sha1, LISTED)]).unwrap();
    assert_eq!(by_sha1.find(&format!("sha1:{sha1}")), Some(LISTED));
}

#[test]
fn a_bad_file_is_refused_with_what_is_wrong_in_it() {
    let other = format!("sha256:{}", hash_of(OTHER));
    let two = json!([{ "id": "d1", "body": LISTED }, { "id": "d1", "body": OTHER }]);
    for (read, wrong) in [
        (TrustedDocuments::parse(""), "neither an object"),
        (TrustedDocuments::parse("[]"), "neither an object"),
        (
            TrustedDocuments::parse("{\"d1\": \"{a}\""),
            "neither an object",
        ),
        (TrustedDocuments::parse("{}"), "no document"),
        (TrustedDocuments::parse("{\"d1\": 7}"), "d1 has no text"),
        (TrustedDocuments::parse("{\"operations\": []}"), "`format`"),
        (
            codegen(&[("d1", LISTED), ("d2", "query {")]),
            "d2 cannot be parsed",
        ),
        (codegen(&[("d1", "")]), "d1 cannot be parsed"),
        (codegen(&[(&other, LISTED)]), "is another"),
        (apollo(&json!([])), "no document"),
        (apollo(&json!({})), "no list `operations`"),
        (apollo(&json!([{ "id": "d1" }])), "d1 has no text"),
        (
            apollo(&json!([{ "id": "d1", "body": LISTED }, {}])),
            "operation 2",
        ),
        (apollo(&two), "d1 names two"),
        (
            TrustedDocuments::parse(
                "{\"format\": \"apollo-persisted-query-manifest\", \"version\": 2, \"operations\": []}",
            ),
            "`version`",
        ),
    ] {
        let fault = read.unwrap_err().to_string();
        assert!(fault.contains(wrong), "{fault}: {wrong}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.json");
    let absent = TrustedDocuments::read(&path).unwrap_err();
    assert!(absent.to_string().contains("documents.json"), "{absent}");
    std::fs::write(&path, json!({ "d1": LISTED }).to_string()).unwrap();
    assert_eq!(TrustedDocuments::read(&path).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn a_mutated_file_is_read_or_refused(file in mutated(prop::sample::select(vec![
        json!({ "d1": LISTED, "sha1:d2": OTHER }).to_string(),
        json!({
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{ "id": "d1", "name": "Listed", "type": "query", "body": LISTED }],
        }).to_string(),
    ]))) {
        if let Ok(documents) = TrustedDocuments::parse(&text(file)) {
            prop_assert!(!documents.is_empty());
        }
    }

    /// Whatever a client asks for, only what is listed runs.
    #[test]
    fn nothing_unlisted_is_resolved(
        query in prop::option::of(prop::sample::select(vec![LISTED, OTHER, "{a}"])),
        id in prop::option::of(prop::sample::select(vec!["d1", "d2", ""])),
        hash in prop::option::of(prop::sample::select(vec![hash_of(LISTED), hash_of(OTHER), "d1".to_owned()])),
    ) {
        let persisted = hash.map(|hash| json!({ "version": 1, "sha256Hash": hash }));
        let members = json!({ "query": query, "documentId": id, "extensions": { "persistedQuery": persisted } });
        let body = members.to_string();
        if let Ok(crate::http::request::Body::One(request)) =
            crate::http::request::Body::from_json(body.as_bytes(), None)
        {
            let run: HashSet<_> = resolve(&trusting(true), request).into_iter().collect();
            prop_assert!(run.iter().all(|text| text == LISTED));
        }
    }
}
