//! A bucket of S3, or of what speaks like it. Bytes go there and come from there by URLs that are signed here.

use std::fmt::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, Uri};
use percent_encoding::utf8_percent_encode;
use reqsign_aws_v4::{
    Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{Context, FileRead, HttpSend, OsEnv, Signer};
use secrecy::{ExposeSecret as _, SecretString};

use super::client::{Client, Reading};
use super::remote::Remote;
use super::{Bearer, BlobError, IN_QUERY, UploadTarget};
use crate::model::Attachment;

/// How long requests of the server's own are good.
const OWN_WITHIN: Duration = Duration::from_mins(1);

/// The most bytes of what says who the server is.
const CREDENTIALS_MAX: u64 = 64 * 1024;

/// The header by which S3 is told what the bytes are, and tells it.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// The header that asks for it.
const CHECKSUM_MODE: &str = "x-amz-checksum-mode";

/// Which bucket, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the keys of objects begin with: nothing, or a path that ends with a slash.
    pub prefix: String,
    /// The region that signatures name.
    pub region: String,
    /// The address of a service other than Amazon's.
    pub endpoint: Option<String>,
}

/// As whom the server asks.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// As AWS' own tools find it: the variables of the environment, the files in the home folder, the role of the
    /// container or of the machine.
    Found,
    /// As a given one.
    Given {
        /// The key's id.
        id: String,
        /// The key.
        secret: SecretString,
    },
}

/// A bucket.
pub struct S3 {
    /// What the URLs of objects begin with.
    base: String,
    signer: Signer<Credential>,
    client: Client,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3").field(&self.base).finish()
    }
}

/// Reads the files in which AWS' tools keep who one is.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| reqsign_core::Error::unexpected(error.to_string()))
    }
}

impl HttpSend for Client {
    async fn http_send(
        &self,
        request: Request<Bytes>,
    ) -> reqsign_core::Result<hyper::Response<Bytes>> {
        let failed = |error: &dyn fmt::Display| reqsign_core::Error::unexpected(error.to_string());
        let most = usize::try_from(CREDENTIALS_MAX).unwrap_or(usize::MAX);
        let reading = Reading::Whole(most, CREDENTIALS_MAX);
        let answer = self.ask(request.map(Full::new), reading).await;
        let answer = answer.map_err(|error| failed(&error))?;
        let mut response = hyper::Response::new(answer.first);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl S3 {
    /// A bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// Where the system's root certificates cannot be used.
    pub fn new(bucket: &Bucket, credentials: Credentials) -> Result<Self, BlobError> {
        let is_secure = bucket.base().starts_with("https:");
        let client = Client::new(is_secure).map_err(|error| BlobError::Failed(error.into()))?;
        let context = Context::new()
            .with_env(OsEnv)
            .with_file_read(Files)
            .with_http_send(client.clone());
        let request_signer = RequestSigner::new("s3", &bucket.region);
        let signer = match credentials {
            Credentials::Found => {
                // Where it would run another program, it does not.
                let chain = DefaultCredentialProvider::builder().no_process().build();
                Signer::new(context, chain, request_signer)
            }
            Credentials::Given { id, secret } => {
                let given = StaticCredentialProvider::new(&id, secret.expose_secret());
                Signer::new(context, given, request_signer)
            }
        };
        Ok(Self {
            base: bucket.base(),
            signer,
            client,
        })
    }

    /// The URL of a file's object, which is named by the digits of its id alone, with a query.
    fn url(&self, file: &Attachment, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}{}", self.base, file.id.0.simple());
        for (place, (name, value)) in query.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            let value = utf8_percent_encode(value, IN_QUERY);
            write!(url, "{name}={value}").ok();
        }
        url
    }

    async fn sign(
        &self,
        (method, url): (Method, &str),
        headers: &[(&'static str, String)],
        within: Duration,
    ) -> Result<Uri, BlobError> {
        let failed = |error: &dyn fmt::Display| BlobError::Failed(error.to_string().into());
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).map_err(|error| failed(&error))?;
        let (mut parts, ()) = request.into_parts();
        let signed = self.signer.sign(&mut parts, Some(within)).await;
        signed.map_err(|error| failed(&error))?;
        Ok(parts.uri)
    }

    pub(super) async fn upload(
        &self,
        file: &Attachment,
        bearer: Bearer<'_>,
    ) -> Result<UploadTarget, BlobError> {
        // S3 takes no other bytes: all of this is signed, and it compares the checksum itself.
        let mut headers = vec![
            ("Content-Type", file.content_type.clone()),
            (CHECKSUM, STANDARD.encode(file.checksum.as_bytes())),
            ("Content-Length", file.size.to_string()),
        ];
        let what = (Method::PUT, self.url(file, &[]));
        let url = self
            .sign((what.0, &what.1), &headers, bearer.within())
            .await?;
        // Who uploads says that in any case, and a browser lets no page say it.
        headers.pop();
        Ok(UploadTarget {
            url: url.to_string(),
            method: "PUT",
            headers,
        })
    }

    pub(super) async fn download(
        &self,
        file: &Attachment,
        bearer: Bearer<'_>,
    ) -> Result<String, BlobError> {
        let disposition = file.disposition();
        let query = [
            ("response-content-disposition", disposition.as_str()),
            ("response-content-type", &file.content_type),
        ];
        let url = self.url(file, &query);
        let url = self.sign((Method::GET, &url), &[], bearer.within()).await?;
        Ok(url.to_string())
    }
}

impl Bucket {
    fn base(&self) -> String {
        let Self {
            name,
            prefix,
            region,
            endpoint,
        } = self;
        match endpoint {
            Some(endpoint) => format!("{}/{name}/{prefix}", endpoint.trim_end_matches('/')),
            // A certificate of Amazon's is for one name in front of theirs, without further dots.
            None if name.contains('.') => {
                format!("https://s3.{region}.amazonaws.com/{name}/{prefix}")
            }
            None => format!("https://{name}.s3.{region}.amazonaws.com/{prefix}"),
        }
    }
}

impl Remote for S3 {
    fn client(&self) -> &Client {
        &self.client
    }

    async fn request(
        &self,
        method: Method,
        file: &Attachment,
    ) -> Result<Request<Full<Bytes>>, BlobError> {
        let asks = method == Method::HEAD;
        let mode = [(CHECKSUM_MODE, "ENABLED".to_owned())];
        let headers = if asks { &mode[..] } else { &[] };
        let what = (method.clone(), self.url(file, &[]));
        let uri = self.sign((what.0, &what.1), headers, OWN_WITHIN).await?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(*name, value);
            }
        }
        Ok(request)
    }

    fn checksum(headers: &HeaderMap) -> Option<Vec<u8>> {
        STANDARD.decode(headers.get(CHECKSUM)?.as_bytes()).ok()
    }
}
