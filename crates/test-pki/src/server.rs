//! A web server on this machine from which revocation lists are fetched, to which questions are posted, and which knows what it
//! was asked.

use crate::authority::{Authority, host_key};
use anyhow::Result;
use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKeyRef, Private},
    ssl::{SslAcceptor, SslMethod},
    x509::{X509, extension::SubjectAlternativeName},
};
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// After this a client that says nothing is given up.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: usize = 64 << 10;

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This content.
    Content(Vec<u8>),
    /// This status and no content.
    Status(u16),
    /// That it is at this address.
    Redirect(String),
    /// Nothing, but the connection stays open.
    Silence,
}

/// A question that was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The second word of the request.
    pub path: String,
    /// All lines before the body.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    replies: HashMap<String, Reply>,
    /// What a proxy demands as Proxy-Authorization.
    login: Option<String>,
    asked: Vec<String>,
    posted: Vec<Posted>,
    ended: bool,
}

/// The server; as a proxy, of whatever host it is asked for. It ends when it is dropped.
#[derive(Debug)]
pub struct CrlServer {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl CrlServer {
    /// Starts one for `http` on a free port; it has nothing yet.
    ///
    /// # Errors
    /// What the system answers.
    pub fn start() -> Result<Self> {
        Self::listen(None)
    }

    /// Starts one for `https`, with a certificate for 127.0.0.1 that `authority` issues.
    ///
    /// # Errors
    /// What the system or OpenSSL answers.
    pub fn start_tls(authority: &Authority) -> Result<Self> {
        let key = host_key(Nid::X9_62_PRIME256V1)?;
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_private_key(&key)?;
        acceptor.set_certificate(&*certificate(authority, &key)?)?;
        Self::listen(Some(acceptor.build()))
    }

    fn listen(tls: Option<SslAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, state) = (listener.local_addr()?, Arc::new(Mutex::new(State::default())));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || serve(&listener, tls.as_ref(), &shared));
        Ok(Self { address, scheme, state, thread: Some(thread) })
    }

    /// The address of what is at `path`, which begins with a slash; of `""`, the server's own.
    pub fn uri(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// From now on answers so for `path`. For others the status is 404.
    pub fn put(&self, path: &str, reply: Reply) {
        lock(&self.state).replies.insert(path.into(), reply);
    }

    /// From now on answers as a proxy only to whoever gives this login, the value of Proxy-Authorization; to others 407.
    pub fn demand_login(&self, login: &str) {
        lock(&self.state).login = Some(login.into());
    }

    /// What was asked for so far, in order: the second word of each request.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// What was posted so far, in order; it is also among what was asked for.
    pub fn posted(&self) -> Vec<Posted> {
        lock(&self.state).posted.clone()
    }
}

impl Drop for CrlServer {
    fn drop(&mut self) {
        lock(&self.state).ended = true;
        // The thread looks at the flag once it has a connection.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// A server's certificate for 127.0.0.1.
fn certificate(authority: &Authority, key: &PKeyRef<Private>) -> Result<X509, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_subject_name(authority.certificate.subject_name())?;
    builder.set_issuer_name(authority.certificate.subject_name())?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(9)?)?;
    builder.set_pubkey(key)?;
    let name = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None))?;
    builder.append_extension(name)?;
    builder.sign(&authority.key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: &TcpListener, tls: Option<&SslAcceptor>, state: &Mutex<State>) {
    // Kept open to the end, for there is no answer.
    let mut silent: Vec<Box<dyn Send>> = Vec::new();
    for stream in listener.incoming().flatten() {
        if lock(state).ended {
            break;
        }
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let kept: Option<Box<dyn Send>> = match tls {
            None => answer(stream, state).map(|stream| Box::new(stream) as _),
            // A client that does not trust the server hangs up.
            Some(tls) => tls
                .accept(stream)
                .ok()
                .and_then(|stream| answer(stream, state).map(|stream| Box::new(stream) as Box<dyn Send>)),
        };
        silent.extend(kept);
    }
}

/// Answers one request. Gives the connection back if it is to stay open.
fn answer<S: Read + Write>(mut stream: S, state: &Mutex<State>) -> Option<S> {
    let mut request = asked_for(&mut stream)?;
    let is_of_a_proxy = !request.path.starts_with('/');
    let stranger =
        is_of_a_proxy && lock(state).login.as_ref().is_some_and(|login| request.login.as_ref() != Some(login));
    if request.method == "CONNECT" {
        // Like many proxies, to no port but that of https; as a proxy it is itself what is at the other end.
        let status = match stranger {
            true => 407,
            false if request.path.ends_with(":443") => 200,
            false => 403,
        };
        lock(state).asked.push(request.path);
        stream.write_all(format!("HTTP/1.1 {status} -\r\n\r\n").as_bytes()).ok()?;
        request = asked_for(&mut stream).filter(|_| status == 200)?;
    }
    let posted = match request.method.as_str() {
        "GET" => None,
        "POST" => {
            let mut body = vec![0; request.length];
            stream.read_exact(&mut body).ok()?;
            Some(Posted { path: request.path.clone(), head: request.head, body })
        }
        _ => return None,
    };
    let reply = {
        let mut state = lock(state);
        state.posted.extend(posted);
        // Of a whole address the path counts.
        let path = request.path.splitn(4, '/').nth(3).filter(|_| is_of_a_proxy).map(|path| format!("/{path}"));
        let reply = state.replies.get(path.as_ref().unwrap_or(&request.path)).cloned().unwrap_or(Reply::Status(404));
        state.asked.push(request.path);
        if stranger { Reply::Status(407) } else { reply }
    };
    let (status, header, content) = match reply {
        Reply::Content(content) => (200, String::new(), content),
        Reply::Status(status) => (status, String::new(), Vec::new()),
        Reply::Redirect(to) => (302, format!("Location: {to}\r\n"), Vec::new()),
        Reply::Silence => return Some(stream),
    };
    let head = format!("HTTP/1.1 {status} -\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    // A client may hang up when it has seen enough.
    let _ = stream.write_all(&[head.into_bytes(), content].concat());
    let _ = stream.flush();
    None
}

/// What matters of a request.
struct Asked {
    method: String,
    path: String,
    login: Option<String>,
    /// Of the body, in bytes.
    length: usize,
    head: String,
}

fn asked_for(stream: &mut impl Read) -> Option<Asked> {
    let mut head = Vec::new();
    // Byte by byte: what follows may be TLS or the next request.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok().filter(|()| head.len() < LONGEST_REQUEST)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    let login = header("proxy-authorization");
    let length = header("content-length").and_then(|text| text.parse().ok()).filter(|length| *length < LONGEST_REQUEST);
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    Some(Asked { method, path, login, length: length.unwrap_or(0), head })
}
