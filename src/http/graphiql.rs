//! `GraphiQL` at `/`: the page built from `web/` and embedded by `build.rs`, or, in a build without it, a page
//! that says so and loads `GraphiQL` from a CDN.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the embedded page may do: its own scripts, workers, fonts and API, and no other host.
///
/// The editor writes style elements and draws with `data:` images; neither can run a script.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the CDN page may do besides: load from esm.sh, start that CDN's workers (which come as blobs) and run
/// the one inline script it has, its import map, known by its SHA-256 (`web/README.md` says how to renew it).
const FALLBACK_POLICY: &str = "default-src 'none'; \
     script-src 'self' https://esm.sh 'sha256-8kBTJRVyYa1rdYs7TZvUouee4KDg6/nSUqXj14PDbZU='; \
     worker-src blob:; style-src 'self' 'unsafe-inline' https://esm.sh; img-src 'self' data:; \
     font-src data: https://esm.sh; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The bundler puts a hash of the content into the names under this path, so they never change meaning.
const HASHED: &str = "graphiql/assets/";

/// A file of the page.
struct Asset {
    /// Path below the server's root, without a leading slash.
    path: &'static str,
    content_type: &'static str,
    /// Quoted, as the header wants it; empty for what is not worth revalidating.
    etag: &'static str,
    bytes: &'static [u8],
}

/// The files of `web/dist`; empty when the crate was built without them.
static BUILT: &[Asset] = include!(concat!(env!("OUT_DIR"), "/graphiql_assets.rs"));

/// The page for an empty [`BUILT`], with the very sources that the bundle is made of.
static FALLBACK: &[Asset] = &[
    Asset {
        path: "index.html",
        content_type: "text/html; charset=utf-8",
        etag: "",
        bytes: include_bytes!("../../web/fallback.html"),
    },
    script(
        "graphiql/src/cdn.js",
        include_bytes!("../../web/src/cdn.js"),
    ),
    script(
        "graphiql/src/start.js",
        include_bytes!("../../web/src/start.js"),
    ),
    script(
        "graphiql/src/documents.js",
        include_bytes!("../../web/src/documents.js"),
    ),
    script(
        "graphiql/src/fetcher.js",
        include_bytes!("../../web/src/fetcher.js"),
    ),
    script(
        "graphiql/src/session.js",
        include_bytes!("../../web/src/session.js"),
    ),
];

const fn script(path: &'static str, bytes: &'static [u8]) -> Asset {
    Asset {
        path,
        content_type: "text/javascript; charset=utf-8",
        etag: "",
        bytes,
    }
}

/// The routes of the page: `/` and what it loads, under `/graphiql/`.
pub(super) fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(page))
        .route("/graphiql/{*path}", get(file))
}

/// What is at `/` where the page is not served.
pub(super) async fn absent() -> (StatusCode, &'static str) {
    let why = "There is no page here. The API is at /graphql.\n";
    (StatusCode::NOT_FOUND, why)
}

async fn page(headers: HeaderMap) -> Response {
    let (assets, policy) = edition();
    let mut response = respond(assets, "index.html", &headers);
    set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    set(&mut response, opener, "same-origin");
    response
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let (assets, _) = edition();
    respond(assets, &format!("graphiql/{path}"), &headers)
}

/// The files that this build serves, and the policy of their page.
fn edition() -> (&'static [Asset], &'static str) {
    if BUILT.is_empty() {
        (FALLBACK, FALLBACK_POLICY)
    } else {
        (BUILT, PAGE_POLICY)
    }
}

fn respond(assets: &'static [Asset], path: &str, headers: &HeaderMap) -> Response {
    let mut response = match assets.iter().find(|asset| asset.path == path) {
        Some(asset) => found(asset, headers),
        None => StatusCode::NOT_FOUND.into_response(),
    };
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    response
}

fn found(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let mut response = if is_current(asset, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.bytes.into_response()
    };
    set(&mut response, header::CONTENT_TYPE, asset.content_type);
    let lifetime = if asset.path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    set(&mut response, header::CACHE_CONTROL, lifetime);
    if !asset.etag.is_empty() {
        set(&mut response, header::ETAG, asset.etag);
    }
    response
}

/// Whether the client says that it holds this very content.
fn is_current(asset: &Asset, headers: &HeaderMap) -> bool {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| !tag.is_empty() && tag == asset.etag)
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::{Asset, BUILT, FALLBACK, FALLBACK_POLICY, HASHED, PAGE_POLICY, router};
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderName, Request, StatusCode, header};
    use axum::response::Response;
    use std::error::Error;
    use tower::ServiceExt as _;

    type Outcome = Result<(), Box<dyn Error>>;

    async fn get(path: &str, etag: &str) -> Result<Response, Box<dyn Error>> {
        let request = Request::get(path)
            .header(header::IF_NONE_MATCH, etag)
            .body(Body::empty())?;
        Ok(router::<()>().oneshot(request).await?)
    }

    fn value(response: &Response, name: HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    async fn text(response: Response) -> Result<String, Box<dyn Error>> {
        Ok(String::from_utf8(
            to_bytes(response.into_body(), usize::MAX).await?.to_vec(),
        )?)
    }

    fn served() -> &'static [Asset] {
        if BUILT.is_empty() { FALLBACK } else { BUILT }
    }

    #[tokio::test]
    async fn the_page_carries_the_policy_of_its_edition() -> Outcome {
        let response = get("/", "").await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            value(&response, header::CONTENT_TYPE),
            "text/html; charset=utf-8"
        );
        assert_eq!(value(&response, header::CACHE_CONTROL), "no-cache");
        assert_eq!(value(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(value(&response, header::REFERRER_POLICY), "no-referrer");
        let opener = HeaderName::from_static("cross-origin-opener-policy");
        assert_eq!(value(&response, opener), "same-origin");
        let policy = if BUILT.is_empty() {
            FALLBACK_POLICY
        } else {
            PAGE_POLICY
        };
        assert_eq!(value(&response, header::CONTENT_SECURITY_POLICY), policy);
        let page = text(response).await?;
        assert_eq!(page.contains("no offline assets"), BUILT.is_empty());
        assert_eq!(
            page.contains("https://"),
            BUILT.is_empty(),
            "an embedded page names no other host"
        );
        Ok(())
    }

    #[tokio::test]
    async fn every_file_is_served_as_what_it_is() -> Outcome {
        for asset in served().iter().filter(|asset| asset.path != "index.html") {
            let response = get(&format!("/{}", asset.path), "").await?;
            assert_eq!(response.status(), StatusCode::OK, "{}", asset.path);
            assert_eq!(value(&response, header::CONTENT_TYPE), asset.content_type);
            assert_ne!(
                asset.content_type, "application/octet-stream",
                "{}",
                asset.path
            );
            assert_eq!(value(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            let immutable = value(&response, header::CACHE_CONTROL).contains("immutable");
            assert_eq!(immutable, asset.path.starts_with(HASHED), "{}", asset.path);
            assert_eq!(
                to_bytes(response.into_body(), usize::MAX).await?.len(),
                asset.bytes.len()
            );
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_known_etag_is_answered_without_the_content() -> Outcome {
        for asset in BUILT.iter().filter(|asset| asset.path != "index.html") {
            let response = get(
                &format!("/{}", asset.path),
                &format!("\"other\", W/{}", asset.etag),
            )
            .await?;
            assert_eq!(
                response.status(),
                StatusCode::NOT_MODIFIED,
                "{}",
                asset.path
            );
            assert_eq!(value(&response, header::ETAG), asset.etag);
            assert!(text(response).await?.is_empty());
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_not_a_file_of_the_page_is_not_found() -> Outcome {
        for path in [
            "/graphiql/assets/none.js",
            "/graphiql/../Cargo.toml",
            "/graphiql/src/%2e%2e/session.js",
        ] {
            assert_eq!(
                get(path, "").await?.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_fallback_explains_itself_without_a_script() -> Outcome {
        let page = FALLBACK
            .iter()
            .find(|asset| asset.path == "index.html")
            .ok_or("no page")?;
        let page = std::str::from_utf8(page.bytes)?;
        for said in ["npm ci &amp;&amp; npm run build", "/graphql", "curl"] {
            assert!(page.contains(said), "{said}");
        }
        Ok(())
    }
}
