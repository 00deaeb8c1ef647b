//! One GET through a proxy without a tunnel: the request names the whole address (RFC 9112, 3.2.2).
//!
//! Written here because the client knows only `CONNECT`, which many proxies allow to no other port than 443.

use super::proxy::Via;
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use ureq::http::Uri;

/// The most bytes of all headers of an answer, and of what leads a chunk.
const LONGEST_HEAD: u64 = 64 << 10;

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where else it is, if the answer says so.
    pub location: Option<String>,
    /// The content, if the status is 200.
    pub content: Vec<u8>,
}

/// Asks the proxy for what is at an address of `http`.
///
/// # Errors
/// The system's; of the kind `TimedOut` when the time is over, `FileTooLarge` for more than `limit` bytes, and
/// `InvalidData` for what is no answer.
pub(super) fn get(via: &Via, address: &Uri, time: Duration, limit: u64) -> io::Result<Answer> {
    let deadline = Instant::now() + time;
    let host = address.host().unwrap_or_default();
    let host = address.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = address.path_and_query().map_or("/", |target| target.as_str());
    let login = via.login().map(|login| format!("Proxy-Authorization: {login}\r\n")).unwrap_or_default();
    let request = format!(
        "GET http://{host}{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {}\r\nAccept: */*\r\n{login}Connection: close\r\n\r\n",
        super::client::USER_AGENT
    );
    let mut stream = Timed { stream: connect(via, deadline)?, deadline };
    stream.stream.set_write_timeout(Some(stream.left()?))?;
    stream.stream.write_all(request.as_bytes()).map_err(timed_out)?;
    read(BufReader::new(stream), limit)
}

fn connect(via: &Via, deadline: Instant) -> io::Result<TcpStream> {
    // The brackets of an IPv6 address belong to the address of the proxy only.
    let host = via.proxy.host().trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(ErrorKind::NotFound, "its host name cannot be resolved");
    for address in resolved(host.to_owned(), via.proxy.port(), deadline)? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of a host. Resolving knows no deadline, so a thread does it, which may end later.
fn resolved(host: String, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let (done, addresses) = mpsc::channel();
    thread::spawn(move || {
        let found = (host, port).to_socket_addrs().map(Vec::from_iter);
        // Nobody waits for it any more if the time is over.
        let _ = done.send(found);
    });
    addresses.recv_timeout(left(deadline)?).map_err(|_| io::Error::from(ErrorKind::TimedOut))?
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What the system says of a time that is over is `EAGAIN`.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

/// A connection that gives nothing after the deadline, however slowly it comes.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        left(self.deadline)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

/// Reads an answer (RFC 9112) with at most `limit` bytes of content.
///
/// # Errors
/// As for the GET itself.
pub fn read(mut stream: impl BufRead, limit: u64) -> io::Result<Answer> {
    let mut room = LONGEST_HEAD;
    let (status, headers) = loop {
        let first = line(&mut stream, &mut room)?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|text| text.parse().ok());
        let status: u16 = status.ok_or_else(|| invalid("the answer is not HTTP/1"))?;
        let mut headers = Vec::new();
        loop {
            let header = line(&mut stream, &mut room)?;
            if header.is_empty() {
                break;
            }
            headers.extend(
                header.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())),
            );
        }
        // An interim answer, behind which the answer comes.
        if !(100..200).contains(&status) {
            break (status, headers);
        }
    };
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut content = Vec::new();
    if status == 200 {
        let length =
            header("content-length").map(|text| text.parse::<u64>().map_err(|_| invalid("its length is not a number")));
        match (header("transfer-encoding"), length.transpose()?) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => {
                chunks(&mut stream, limit, &mut content)?
            }
            (Some(_), _) => return Err(invalid("its encoding was not requested")),
            (None, Some(length)) => exactly(&mut stream, length, limit, &mut content)?,
            (None, None) => {
                stream.take(limit.saturating_add(1)).read_to_end(&mut content)?;
                if content.len() as u64 > limit {
                    return Err(ErrorKind::FileTooLarge.into());
                }
            }
        }
    }
    Ok(Answer { status, location: header("location").map(str::to_owned), content })
}

fn chunks(stream: &mut impl BufRead, limit: u64, content: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = line(stream, &mut LONGEST_HEAD.clone())?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| invalid("the size of a chunk is not a number"))?;
        if size == 0 {
            return Ok(());
        }
        exactly(stream, size, limit, content)?;
        if !line(stream, &mut LONGEST_HEAD.clone())?.is_empty() {
            return Err(invalid("a chunk is longer than it says"));
        }
    }
}

/// Adds `size` bytes to the content.
fn exactly(stream: &mut impl BufRead, size: u64, limit: u64, content: &mut Vec<u8>) -> io::Result<()> {
    if (content.len() as u64).saturating_add(size) > limit {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let read = stream.take(size).read_to_end(content)?;
    if (read as u64) < size { Err(invalid("it is incomplete")) } else { Ok(()) }
}

/// A line without its end, taken from the `room` that is left.
fn line(stream: &mut impl BufRead, room: &mut u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = stream.take(*room).read_until(b'\n', &mut bytes)?;
    *room = room.saturating_sub(read as u64);
    if bytes.pop() != Some(b'\n') {
        return Err(invalid(if *room == 0 { "its headers are too long" } else { "it is incomplete" }));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| invalid("its headers are not text"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(answer: &str) -> Result<Vec<u8>, ErrorKind> {
        read(answer.as_bytes(), 10).map(|answer| answer.content).map_err(|error| error.kind())
    }

    #[test]
    fn the_content_ends_where_the_answer_says_or_with_the_connection() {
        assert_eq!(content("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd"), Ok(b"abc".into()));
        assert_eq!(content("HTTP/1.0 200 OK\n\nabcd"), Ok(b"abcd".into()));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(content(&format!("{chunked}3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")), Ok(b"abcd".into()));
        assert_eq!(content("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n\r\na"), Ok(b"a".into()));
    }

    #[test]
    fn what_is_cut_off_too_long_or_no_answer_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (answer, kind) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n".to_owned(), ErrorKind::FileTooLarge),
            ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(), ErrorKind::FileTooLarge),
            ("HTTP/1.1 200 OK\r\n\r\n12345678901".to_owned(), ErrorKind::FileTooLarge),
            (format!("{chunked}6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n"), ErrorKind::FileTooLarge),
            (format!("{chunked}ffffffffffffffff\r\n"), ErrorKind::FileTooLarge),
            (format!("{chunked}3\r\nabcd\r\n0\r\n\r\n"), ErrorKind::InvalidData),
            (format!("{chunked}3\r\nab"), ErrorKind::InvalidData),
            (format!("{chunked}x\r\n"), ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".to_owned(), ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab".to_owned(), ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab".to_owned(), ErrorKind::InvalidData),
            ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), ErrorKind::InvalidData),
            ("SSH-2.0-x\r\n".to_owned(), ErrorKind::InvalidData),
            (String::new(), ErrorKind::InvalidData),
            (format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)), ErrorKind::InvalidData),
            ("HTTP/1.1 100 Go on\r\n\r\n".repeat(4000), ErrorKind::InvalidData),
        ] {
            assert_eq!(content(&answer), Err(kind), "{answer:.60}");
        }
    }
    #[test]
    fn as_much_as_the_limit_is_taken_however_its_length_is_said() {
        for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"] {
            assert_eq!(content(&format!("{head}1234567890")), Ok(b"1234567890".into()), "{head}");
        }
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\n1234\r\n6\r\n567890\r\n0\r\n\r\n";
        assert_eq!(content(chunks), Ok(b"1234567890".into()));
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        for (answer, said) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab".to_owned(), "its encoding was not requested"),
            ("HTTP/1.1 200 OK\r\nContent-Le".to_owned(), "it is incomplete"),
            (format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000)), "its headers are too long"),
        ] {
            assert_eq!(read(answer.as_bytes(), 10).unwrap_err().to_string(), said);
        }
    }
}
