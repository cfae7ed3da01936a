//! The documents that an operator trusts, from a file in one of the two formats that the tools of clients write.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use async_graphql::parser;
use serde_json::{Map, Value};

use super::persisted::hash_of;

/// The `format` of Apollo's manifests.
const APOLLO: &str = "apollo-persisted-query-manifest";

const SHA256: &str = "sha256:";

/// Why the trusted documents cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the trusted documents in {} cannot be used", path.display())]
pub struct TrustedDocumentsError {
    path: PathBuf,
    source: Fault,
}

/// What is wrong with a file. It names the document by its id, or by its place where the id is at fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the file cannot be read")]
    File(#[source] io::Error),
    #[error(
        "it is neither an object of documents by their hashes, as graphql-codegen writes it, nor a manifest of Apollo"
    )]
    Json(#[source] serde_json::Error),
    #[error("its `format` is not {APOLLO}")]
    Format,
    #[error("its `version` is not 1")]
    Version,
    #[error("it has no list `operations`")]
    NoOperations,
    #[error("its operation {0} (counted from 1) has no text `id`")]
    NoId(usize),
    #[error("the document {0} has no text")]
    NoText(String),
    #[error("the id {0} names two different documents")]
    TwoTexts(String),
    #[error(
        "the SHA-256 of the document {0} is another: the file was changed, or was not written by a tool"
    )]
    OtherHash(String),
    #[error("the document {id} cannot be parsed")]
    Syntax {
        id: String,
        #[source]
        error: parser::Error,
    },
    #[error("it holds no document")]
    Empty,
}

/// The documents that an operator trusts.
#[derive(Default)]
pub struct TrustedDocuments {
    /// By their ids in the file without the names of hashes, and by their SHA-256 besides.
    by_id: HashMap<String, Arc<str>>,
    texts: HashSet<Arc<str>>,
}

impl std::fmt::Debug for TrustedDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("TrustedDocuments");
        shown.field("count", &self.len()).finish_non_exhaustive()
    }
}

impl TrustedDocuments {
    /// Reads a file: what the client preset of graphql-codegen writes (`persisted-documents.json`), or what Apollo's
    /// `generate-persisted-query-manifest` does. Each document is parsed, so that one cut short is found now.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or anything in it is wrong.
    pub fn read(path: &Path) -> Result<Self, TrustedDocumentsError> {
        let text = fs::read_to_string(path).map_err(Fault::File);
        let read = text.and_then(|text| Self::parse(&text));
        read.map_err(|source| TrustedDocumentsError {
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut file: Map<String, Value> = serde_json::from_str(text).map_err(Fault::Json)?;
        let mut documents = Self::default();
        match file.get("format") {
            Some(format) if format == APOLLO => documents.add_operations(&file)?,
            _ if file.contains_key("operations") => return Err(Fault::Format),
            _ => {
                for (id, text) in &mut file {
                    documents.add(id, text.take())?;
                }
            }
        }
        if documents.texts.is_empty() {
            return Err(Fault::Empty);
        }
        for text in &documents.texts {
            let by_hash = documents.by_id.entry(hash_of(text));
            by_hash.or_insert_with(|| Arc::clone(text));
        }
        Ok(documents)
    }

    fn add_operations(&mut self, file: &Map<String, Value>) -> Result<(), Fault> {
        if file.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(Fault::Version);
        }
        let operations = file.get("operations").and_then(Value::as_array);
        for (place, operation) in operations.ok_or(Fault::NoOperations)?.iter().enumerate() {
            let id = operation.get("id").and_then(Value::as_str);
            let id = id.ok_or(Fault::NoId(place.saturating_add(1)))?;
            let body = operation.get("body").cloned().unwrap_or_default();
            self.add(id, body)?;
        }
        Ok(())
    }

    fn add(&mut self, id: &str, text: Value) -> Result<(), Fault> {
        let Value::String(text) = text else {
            return Err(Fault::NoText(id.to_owned()));
        };
        parser::parse_query(&text).map_err(|error| Fault::Syntax {
            id: id.to_owned(),
            error,
        })?;
        if id
            .strip_prefix(SHA256)
            .is_some_and(|hash| hash != hash_of(&text))
        {
            return Err(Fault::OtherHash(id.to_owned()));
        }
        let text: Arc<str> = text.into();
        let replaced = self.by_id.insert(bare(id).to_owned(), Arc::clone(&text));
        if replaced.is_some_and(|other| other != text) {
            return Err(Fault::TwoTexts(id.to_owned()));
        }
        self.texts.insert(text);
        Ok(())
    }

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none, which is never the case with those of a file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The document of this id in the file, with or without the name of its hash, or of this SHA-256.
    pub(super) fn find(&self, id: &str) -> Option<&str> {
        self.by_id.get(bare(id)).map(AsRef::as_ref)
    }

    /// Whether a text is, to the letter, that of a document.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.texts.contains(text)
    }
}

/// An id without the name of its hash: some tools put it before, and others do not.
fn bare(id: &str) -> &str {
    let named = id.strip_prefix(SHA256).or_else(|| id.strip_prefix("sha1:"));
    named.unwrap_or(id)
}
