//! The settings of documents: which may run, and how clients name them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::http::{Documents, TrustedDocuments, TrustedDocumentsError};

/// Which documents may run, and how clients name them.
#[derive(Debug, Clone, Args)]
pub struct DocumentArgs {
    /// How many requests a client may send in one, as a list; 0 for none.
    #[arg(long, env = "COLLOQUY_BATCH_MAX", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=100), value_name = "COUNT")]
    pub batch_max: u16,
    /// How many documents are kept that clients send with their hash, to send the hash alone afterwards (Apollo's
    /// automatic persisted queries), with 8 KiB of text each on average; 0 for none.
    #[arg(long, env = "COLLOQUY_PERSISTED_QUERIES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=1_000_000), value_name = "COUNT")]
    pub persisted_queries: u32,
    /// The documents of your own clients, as graphql-codegen's client preset writes them (`persisted-documents.json`)
    /// or Apollo's `generate-persisted-query-manifest`. Clients may name these instead of sending them. Read at the
    /// start only.
    #[arg(long, env = "COLLOQUY_TRUSTED_DOCUMENTS", value_name = "FILE")]
    pub trusted_documents: Option<PathBuf>,
    /// What the file of trusted documents is for. By default other documents are allowed in a development run, and
    /// are not with a `DATABASE_URL`.
    #[arg(long, env = "COLLOQUY_TRUSTED_DOCUMENTS_MODE", value_name = "MODE")]
    pub trusted_documents_mode: Option<TrustedMode>,
}

/// What the file of trusted documents is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrustedMode {
    /// The file is not read.
    Off,
    /// Its documents may be named, and others may be sent.
    Allow,
    /// Nothing else runs: no introspection, and nothing that is typed into GraphiQL.
    Require,
}

/// Why documents cannot be had as they are wanted.
#[derive(Debug, thiserror::Error)]
pub enum DocumentArgsError {
    /// There is a mode and no file.
    #[error(
        "COLLOQUY_TRUSTED_DOCUMENTS_MODE (--trusted-documents-mode) needs a file: set COLLOQUY_TRUSTED_DOCUMENTS \
         (--trusted-documents) too"
    )]
    NoFile,
    /// The file is no good. Its own words name it.
    #[error(transparent)]
    File(TrustedDocumentsError),
}

impl DocumentArgs {
    /// Which documents may run. `development` says that the server runs without a `DATABASE_URL`. Reads the file.
    ///
    /// # Errors
    ///
    /// Where there is a mode and no file, or the file is no good.
    pub fn documents(&self, development: bool) -> Result<Documents, DocumentArgsError> {
        let persisted = usize::try_from(self.persisted_queries).unwrap_or(usize::MAX);
        let documents = Documents::new(persisted);
        let usual = if development {
            TrustedMode::Allow
        } else {
            TrustedMode::Require
        };
        match (&self.trusted_documents, self.trusted_documents_mode) {
            (_, Some(TrustedMode::Off)) | (None, None) => Ok(documents),
            (None, Some(TrustedMode::Allow | TrustedMode::Require)) => {
                Err(DocumentArgsError::NoFile)
            }
            (Some(file), mode) => {
                let trusted = TrustedDocuments::read(file).map_err(DocumentArgsError::File)?;
                let required = mode.unwrap_or(usual) == TrustedMode::Require;
                Ok(documents.trusting(trusted, required))
            }
        }
    }

    /// How many requests a list may have, where lists are taken.
    #[must_use]
    pub fn batch(&self) -> Option<usize> {
        (self.batch_max > 0).then_some(self.batch_max.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    fn args(arguments: &[&str]) -> Result<DocumentArgs, clap::Error> {
        let cli = Cli::try_parse_from([&["colloquy"], arguments].concat())?;
        Ok(cli.serve.http.documents)
    }

    fn documents(arguments: &[&str], development: bool) -> Result<Documents, String> {
        let args = args(arguments).map_err(|error| error.to_string())?;
        let documents = args.documents(development);
        documents.map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_off_unless_they_are_asked_for() {
        assert_eq!(args(&[]).unwrap().batch(), None);
        assert_eq!(args(&["--batch-max", "0"]).unwrap().batch(), None);
        assert_eq!(args(&["--batch-max", "10"]).unwrap().batch(), Some(10));
        args(&["--batch-max", "101"]).unwrap_err();
        args(&["--persisted-queries", "-1"]).unwrap_err();
    }

    #[test]
    fn a_list_of_documents_is_all_that_runs_in_production_unless_it_is_said_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("documents.json");
        std::fs::write(&path, r#"{"d1":"{ viewer { id } }"}"#).unwrap();
        let file = ["--trusted-documents", path.to_str().unwrap()];
        for (mode, development, required) in [
            (&[][..], true, false),
            (&[], false, true),
            (&["--trusted-documents-mode", "allow"], false, false),
            (&["--trusted-documents-mode", "require"], true, true),
            (&["--trusted-documents-mode", "off"], false, false),
        ] {
            let documents = documents(&[&file, mode].concat(), development).unwrap();
            assert_eq!(documents.are_required(), required, "{mode:?} {development}");
        }
        assert!(!documents(&[], false).unwrap().are_required());
    }

    #[test]
    fn a_list_that_cannot_be_had_is_no_start() {
        let mode = ["--trusted-documents-mode", "require"];
        let error = documents(&mode, true).unwrap_err();
        assert!(error.contains("COLLOQUY_TRUSTED_DOCUMENTS "), "{error}");
        let file = ["--trusted-documents", "/nowhere/documents.json"];
        let error = documents(&file, true).unwrap_err();
        assert!(error.contains("/nowhere/documents.json"), "{error}");
        // What is off is not read.
        documents(
            &[&file[..], &["--trusted-documents-mode", "off"]].concat(),
            false,
        )
        .unwrap();
    }
}
