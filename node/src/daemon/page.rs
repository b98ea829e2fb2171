//! The daemon's page in a browser: what it is served, and who may ask.
//!
//! On loopback only. The page itself (`/ui/`) is the same for everybody and holds nothing; what it shows it
//! asks of `/v1/…` with a token, which only a person who may read the data folder has: it comes in the
//! fragment of the address that `callbook ui` prints, and a browser sends no fragment anywhere. The
//! page can look, and change nothing: of the local API only what reads is here.
//!
//! | against | what |
//! |---|---|
//! | another user of this machine | the token (256 bits, 0600, compared in constant time) |
//! | a page of another site | its `Origin` or `Sec-Fetch-Site` is refused, there are no CORS headers and no cookies |
//! | a name that somebody lets point at 127.0.0.1 (DNS rebinding) | only the listener's own address or `localhost` pass as `Host` |
//! | foreign code in the page | a content security policy that lets nothing in but these files |
//!
//! Sources: DESIGN §8; the checks are those that Syncthing, Bitcoin Core and Transmission came to after
//! their advisories. *Not here*: what the answers say (`api`, `history`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::api;
use super::state::Daemon;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// The files of the page: name, type, content.
const FILES: [(&str, &str, &[u8]); 9] = [
    ("", "text/html; charset=utf-8", include_bytes!("../../ui/index.html")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("../../ui/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../ui/app.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_bytes!("../../ui/dom.js")),
    ("charts.js", "text/javascript; charset=utf-8", include_bytes!("../../ui/charts.js")),
    ("trace.js", "text/javascript; charset=utf-8", include_bytes!("../../ui/trace.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../ui/icon.svg")),
    (
        "uplot/uPlot.iife.min.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../ui/uplot/uPlot.iife.min.js"),
    ),
    ("uplot/uPlot.min.css", "text/css; charset=utf-8", include_bytes!("../../ui/uplot/uPlot.min.css")),
];

/// What a browser may do with what we send. Source: Content Security Policy level 3 (specification).
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where the page is, and who may ask for what it shows.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    token: blake3::Hash,
    /// With the token: only for who may have it.
    secret_url: Zeroizing<String>,
}

impl Page {
    /// Binds the listener.
    ///
    /// # Errors
    /// The user: the port is in use.
    pub(super) async fn listen(wanted: SocketAddr, token: &[u8]) -> Outcome<(TcpListener, Self)> {
        let failed = |error: io::Error| {
            let in_use = error.kind() == io::ErrorKind::AddrInUse;
            let code = if in_use { Code::PortInUse } else { Code::Failed };
            Problem::new(code, format!("can't serve the page at {wanted}: {error}"))
                .hint("name another port with --api-listen IP:PORT, or none at all: --api-listen \"\"")
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let text = Zeroizing::new(blake3::Hash::from_slice(token).map_or_else(
            |_| Err(Problem::new(Code::FileCorrupt, "the page's token is damaged").hint("remove page.token")),
            |token| Ok(token.to_hex().to_string()),
        )?);
        let secret_url = Zeroizing::new(format!("http://{address}/ui/#{}", *text));
        Ok((listener, Self { address, token: blake3::hash(text.as_bytes()), secret_url }))
    }

    /// Its address, for whoever may see what it shows.
    pub(super) fn secret_url(&self) -> &str {
        &self.secret_url
    }

    /// Its address without the token.
    pub(super) fn url(&self) -> String {
        format!("http://{}/ui/", self.address)
    }

    /// Refuses what no page of ours asks.
    fn check(&self, path: &str, headers: &HeaderMap) -> Outcome<()> {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text(&header::HOST).unwrap_or_default();
        let own = [self.address.to_string(), format!("localhost:{}", self.address.port())];
        if !own.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Err(Problem::new(Code::HostRefused, "this listener has another name")
                .hint(format!("open {}", self.url())));
        }
        let foreign = text(&header::ORIGIN).is_some_and(|origin| origin != format!("http://{host}"));
        let site = text(&HeaderName::from_static("sec-fetch-site"));
        if foreign || site.is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(Problem::new(Code::SocketPermission, "requests of other pages are refused"));
        }
        let token = text(&header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
        // Hashes are compared in constant time.
        let known = token.is_some_and(|token| blake3::hash(token.as_bytes()) == self.token);
        if path.starts_with("/v1/") && !known {
            return Err(Problem::new(Code::TokenMissing, "the token is missing or wrong")
                .hint("open the address that callbook ui prints"));
        }
        Ok(())
    }
}

/// What the listener answers.
pub(super) fn router(page: Arc<Page>, daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui/", get(|| async { file("") }))
        .route("/ui/{*name}", get(|Path(name): Path<String>| async move { file(&name) }))
        .merge(api::reads())
        .fallback(api::unknown)
        .layer(from_fn_with_state(page, guard))
        .with_state(daemon)
}

async fn guard(State(page): State<Arc<Page>>, request: Request, next: Next) -> Response {
    let mut response = match page.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => api::answer::<()>(Err(problem)),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, content)) => ([(header::CONTENT_TYPE, *kind)], *content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that listens, and its token.
    async fn page() -> (Page, String) {
        let (_, page) = Page::listen("127.0.0.1:0".parse().unwrap(), &[7; 32]).await.unwrap();
        let token = page.secret_url().rsplit_once('#').unwrap().1.to_owned();
        (page, token)
    }

    fn asked(headers: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        headers.iter().map(pair).collect()
    }

    #[tokio::test]
    async fn who_has_the_token_and_comes_from_the_page_may_ask_and_nobody_else() {
        // Goal: each of the checks refuses alone. Method: a right request, and one thing wrong at a time.
        let (page, token) = page().await;
        let (host, bearer) = (page.address.to_string(), format!("Bearer {token}"));
        let (local, origin) =
            (format!("localhost:{}", page.address.port()), format!("http://{}", page.address));
        let check = |path: &str, headers: &[(&str, &str)]| {
            page.check(path, &asked(headers)).map_err(|problem| problem.code)
        };
        let (host, bearer) = (("host", host.as_str()), ("authorization", bearer.as_str()));
        let same = [host, bearer, ("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
        assert_eq!(check("/v1/status", &same), Ok(()));
        assert_eq!(check("/v1/status", &[("host", local.as_str()), bearer]), Ok(()));
        assert_eq!(check("/ui/", &[host, ("sec-fetch-site", "none")]), Ok(()), "the page holds nothing");

        let wrong = format!("Bearer {}", "0".repeat(64));
        assert_eq!(check("/v1/status", &[host]), Err(Code::TokenMissing));
        assert_eq!(check("/v1/status", &[host, ("authorization", wrong.as_str())]), Err(Code::TokenMissing));
        assert_eq!(check("/v1/status", &[host, ("authorization", token.as_str())]), Err(Code::TokenMissing));
        for other in ["", "127.0.0.1", "127.0.0.1:1", "callbook.example", "[::1]:80"] {
            assert_eq!(check("/ui/", &[("host", other), bearer]), Err(Code::HostRefused), "{other}");
        }
        for other in ["null", "http://callbook.example", "https://127.0.0.1", "http://127.0.0.1:1"] {
            let refused = check("/v1/status", &[host, bearer, ("origin", other)]);
            assert_eq!(refused, Err(Code::SocketPermission), "{other}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(
                check("/ui/", &[host, ("sec-fetch-site", site)]),
                Err(Code::SocketPermission),
                "{site}"
            );
        }
    }

    #[test]
    fn the_page_loads_nothing_that_is_not_served_here() {
        // Goal: no CDN, nothing inline that the policy forbids. Method: every reference in the page is one of
        // the files, and there is no inline script, style or handler.
        let text = |content: &[u8]| String::from_utf8(content.to_vec()).unwrap();
        let index = text(FILES[0].2);
        let names: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).collect();
        let quoted = |mark: &str| {
            let parts = index.split(mark).skip(1);
            parts.map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let referred: Vec<String> = [quoted("src=\""), quoted("href=\"")].concat();
        assert!(referred.len() >= 3, "{referred:?}");
        for reference in referred.iter().filter(|reference| !reference.starts_with('#')) {
            assert!(names.contains(&reference.as_str()), "{reference} is not served");
        }
        for inline in ["<style", "style=\"", "onclick", "<script>"] {
            assert!(!index.contains(inline), "{inline}");
        }
        for (name, kind, content) in FILES.iter().filter(|(name, ..)| !name.starts_with("uplot/")) {
            let foreign = text(content).replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{name} ({kind})");
        }
    }
}
