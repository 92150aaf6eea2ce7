//! A request over a plain socket, as any client would send it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Sends bytes and reads until the server closes.
///
/// # Errors
///
/// Those of the socket.
pub fn raw(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A request with a body; returns status and body of the answer.
///
/// # Errors
///
/// Those of the socket.
pub fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
    Ok(parts(&raw(address, (head + body).as_bytes())?))
}

/// A request with a JSON body and further headers; returns status and body of the answer.
///
/// # Errors
///
/// Those of the socket.
pub fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let further: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{further}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    Ok(parts(&raw(address, (head + body).as_bytes())?))
}

/// `GET`; returns status and body.
///
/// # Errors
///
/// Those of the socket.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    Ok(parts(&raw(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?))
}

fn parts(answer: &str) -> (u16, String) {
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    (status, body)
}
