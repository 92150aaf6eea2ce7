//! A TCP socket as a hot thread uses it, with the settings that decide how soon it hears of a packet.

#![expect(unsafe_code, reason = "socket options and receive stamps that no safe interface offers")]

use super::settings::{Setting, check};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
};
use tickpath_shared::config::Host;

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    is_stamped: bool,
    stamp_unix_ns: u64,
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, is_stamped: false, stamp_unix_ns: 0 }
    }
}

impl Socket {
    /// A socket with what the configuration asks for; the settings tell what became of it.
    pub fn tuned(tcp: TcpStream, host: &Host) -> (Self, Vec<Setting>) {
        let micros = host.busy_poll_us;
        let mut settings = vec![
            Setting::ask("TCP_NODELAY", true, || tcp.set_nodelay(true)),
            // An acknowledgement of its own for every read costs the reader a packet's way through the kernel.
            Setting::ask("delayed acknowledgements", true, || {
                rustix::net::sockopt::set_tcp_quickack(&tcp, false)
            }),
            Setting::ask(format!("SO_BUSY_POLL {micros} us"), micros > 0, || {
                set_option(&tcp, libc::SO_BUSY_POLL, micros as i32)
            }),
        ];
        let stamps = Setting::ask("kernel receive stamps", host.receive_stamps, || {
            set_option(&tcp, libc::SO_TIMESTAMPNS, 1)
        });
        let is_stamped = host.receive_stamps && !stamps.is_refused();
        settings.push(stamps);
        (Self { tcp, is_stamped, stamp_unix_ns: 0 }, settings)
    }

    /// The socket itself.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Unix nanoseconds at which the kernel got the last packet of what was read since the last call; 0 without a
    /// stamp.
    #[inline]
    pub fn take_stamp(&mut self) -> u64 {
        std::mem::take(&mut self.stamp_unix_ns)
    }

    /// As `read`, and keeps the stamp that comes beside the bytes.
    fn read_stamped(&mut self, out: &mut [u8]) -> io::Result<usize> {
        #[repr(align(8))]
        struct Control([u8; 64]);
        let mut control = Control([0; 64]);
        let mut vector = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
        // SAFETY: a header of zeros is a valid one; the fields that count are set below.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        // SAFETY: the header points to `vector`, `out` and `control`, which live until the call returns.
        let bytes = unsafe { libc::recvmsg(self.tcp.as_raw_fd(), &raw mut message, 0) };
        if bytes < 0 {
            return Err(io::Error::last_os_error());
        }
        self.stamp_unix_ns = stamp_of(&message).unwrap_or(0);
        Ok(bytes as usize)
    }
}

/// The receive stamp among a message's control data.
fn stamp_of(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel has filled the control data of the header that `recvmsg` returned with.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !at.is_null() {
        // SAFETY: not null, so it points to a whole header within the control data.
        let head = unsafe { &*at };
        if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPNS {
            // SAFETY: the data of a message of this type is a `timespec`.
            let time = unsafe { libc::CMSG_DATA(at).cast::<libc::timespec>().read_unaligned() };
            return Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64);
        }
        // SAFETY: both come from the same message.
        at = unsafe { libc::CMSG_NXTHDR(message, at) };
    }
    None
}

fn set_option(tcp: &TcpStream, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open, and `value` has the length that is told.
    check(unsafe {
        libc::setsockopt(tcp.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), len)
    })
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_stamped { self.read_stamped(out) } else { self.tcp.read(out) }
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, time::Duration};
    use tickpath_shared::clock::unix_ns_now;

    fn pair(host: &Host) -> (Socket, Vec<Setting>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, settings) = Socket::tuned(tcp, host);
        (socket, settings, listener.accept().unwrap().0)
    }

    #[test]
    fn a_stamp_tells_when_the_kernel_got_the_bytes() {
        let host = Host { receive_stamps: true, ..Host::default() };
        let (mut socket, settings, mut peer) = pair(&host);
        assert!(settings.iter().all(|s| !s.is_refused()), "{settings:?}");
        // The kernel begins to stamp packets a moment after it was asked.
        std::thread::sleep(Duration::from_millis(50));
        let before = unix_ns_now();
        peer.write_all(b"tick").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let mut out = [0; 16];
        assert_eq!(socket.read(&mut out).unwrap(), 4);
        let (stamp, after) = (socket.take_stamp(), unix_ns_now());
        assert!(stamp >= before && after - stamp >= 15_000_000, "{before} {stamp} {after}");
        assert_eq!(socket.take_stamp(), 0, "each stamp counts once");
        socket.tcp().set_nonblocking(true).unwrap();
        assert_eq!(socket.read(&mut out).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_not_wanted_is_not_asked_for() {
        let (mut socket, settings, mut peer) = pair(&Host::default());
        let text = super::super::settings::line(&settings);
        assert!(text.contains("SO_BUSY_POLL 0 us not asked for"), "{text}");
        assert!(text.contains("TCP_NODELAY taken"), "{text}");
        peer.write_all(b"x").unwrap();
        assert_eq!((socket.read(&mut [0; 4]).unwrap(), socket.take_stamp()), (1, 0));
    }
}
