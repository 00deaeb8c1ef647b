//! The guest's files as a FUSE filesystem: `/dev`, `/sys` and `/boot_id`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BsdFileFlags, Errno as FuseErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    IoctlFlags, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use guest_sim::guest::Answer;
use guest_sim::tree::Node;
use guest_sim::uv::driver::BLOCK_LEN;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::caller::has_signal;
use crate::memory::ProcessMemory;
use crate::paths::Paths;
use crate::shared::Shared;

/// How long the kernel may take it that a path exists, unless it is [told](Paths::forget) otherwise. What attributes read
/// as is never cached.
const TTL: Duration = Duration::from_secs(3600);
/// How often it is looked whether somebody still waits for an answer that does not come.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What stat(2) says of every attribute of sysfs.
const SIZE: u64 = 4096;

/// What open files and folders read: as in sysfs a text is made when reading starts at the beginning. A folder's entries
/// are made when it is opened, or a folder of many thousand queues would be put together anew for every buffer.
#[derive(Default)]
struct Handles {
    last: u64,
    texts: HashMap<u64, Vec<u8>>,
    folders: HashMap<u64, Vec<(u64, FileType, String)>>,
}

/// The filesystem.
pub struct Files {
    shared: Arc<Shared>,
    paths: Arc<Paths>,
    handles: Arc<Mutex<Handles>>,
}

impl Files {
    pub fn new(shared: Arc<Shared>, paths: Arc<Paths>) -> Self {
        Self { shared, paths, handles: Arc::default() }
    }

    fn path(&self, ino: INodeNo) -> Option<Arc<str>> {
        self.paths.path(ino.0)
    }

    fn node(&self, ino: INodeNo) -> Option<(Arc<str>, Node)> {
        let path = self.path(ino)?;
        let node = self.shared.with(|guest, now| guest.tree(now).node(&path))?;
        Some((path, node))
    }

    /// What is at a path, and how long the kernel may take it that it is.
    fn found(&self, path: &str) -> Option<(Node, Duration)> {
        self.shared.with(|guest, now| {
            let ttl = if guest.may_go_by_itself(path) { Duration::ZERO } else { TTL };
            Some((guest.tree(now).node(path)?, ttl))
        })
    }

    fn attributes(&self, ino: INodeNo, reply: ReplyAttr) {
        let found = self.path(ino).and_then(|path| self.found(&path));
        match found {
            Some((node, ttl)) => reply.attr(&ttl, &self.attr(ino.0, &node)),
            None => reply.error(FuseErrno::ENOENT),
        }
    }

    fn attr(&self, number: u64, node: &Node) -> FileAttr {
        let (kind, perm, size) = match node {
            Node::Dir => (FileType::Directory, 0o755, 0),
            Node::File(_, mode) => (FileType::RegularFile, *mode, SIZE),
            Node::Link(target) => (FileType::Symlink, 0o777, target.len() as u64),
        };
        let time = SystemTime::UNIX_EPOCH;
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            // In a user namespace this is its root, whoever that is outside.
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// Waits for as long as the answer takes, without holding up other callers, and replies.
fn reply<T: Send + 'static>(
    pid: u32,
    answer: Answer<T>,
    shared: &Arc<Shared>,
    send: impl FnOnce(Result<T, FuseErrno>) + Send + 'static,
) {
    let Answer { result, takes, kill: deadly, unanswered } = answer;
    let finish = move || {
        if let (true, Ok(pid)) = (deadly, i32::try_from(pid)) {
            // It may be gone already, which is what was wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        send(result.map_err(|errno| FuseErrno::from_i32(errno.number())));
    };
    match unanswered {
        None if takes.is_zero() => finish(),
        None => drop(thread::spawn(move || {
            thread::sleep(takes);
            finish();
        })),
        Some(request) => {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let started = Instant::now();
                // The kernel would not wake a reader here that has a signal, as the driver's own wait does.
                while started.elapsed() < takes
                    && !has_signal(pid)
                    && shared.with(|guest, now| guest.waits(request, now))
                {
                    thread::sleep(LOOK_AGAIN);
                }
                shared.with(|guest, _| guest.withdraw(request));
                finish();
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.path(parent).zip(name.to_str()).and_then(|(parent, name)| {
            let path = format!("{}/{name}", parent.trim_end_matches('/'));
            let (node, ttl) = self.found(&path)?;
            Some((ttl, self.attr(self.paths.number(&path), &node)))
        });
        match found {
            Some((ttl, attr)) => reply.entry(&ttl, &attr, Generation(0)),
            None => reply.error(FuseErrno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.attributes(ino, reply);
    }

    /// Truncation comes with `echo 1 > attribute` and changes nothing; modes and owners are the kernel's to keep.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(FuseErrno::EPERM);
        }
        self.attributes(ino, reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.node(ino) {
            Some((_, Node::Link(target))) => reply.data(target.as_bytes()),
            Some(_) => reply.error(FuseErrno::EINVAL),
            None => reply.error(FuseErrno::ENOENT),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.node(ino) {
            // sysfs refuses this even to root, who passes every check of modes.
            Some((_, Node::File(_, mode))) if mode & 0o222 == 0 && flags.acc_mode() != OpenAccMode::O_RDONLY => {
                reply.error(FuseErrno::EACCES);
            }
            Some(_) => {
                let mut handles = lock(&self.handles);
                handles.last += 1;
                reply.opened(FileHandle(handles.last), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH);
            }
            None => reply.error(FuseErrno::ENOENT),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.handles).texts.remove(&handle.0);
        reply.ok();
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        data: ReplyData,
    ) {
        let (Ok(offset), Ok(size)) = (usize::try_from(offset), usize::try_from(size)) else {
            return data.error(FuseErrno::EINVAL);
        };
        let part = move |text: &[u8]| {
            let text = text.get(offset..).unwrap_or_default();
            text[..size.min(text.len())].to_vec()
        };
        if offset > 0 {
            let handles = lock(&self.handles);
            return data.data(&handles.texts.get(&handle.0).map(|text| part(text)).unwrap_or_default());
        }
        let Some(path) = self.path(ino) else { return data.error(FuseErrno::ENOENT) };
        let answer = self.shared.with(|guest, now| guest.read(request.pid(), &path, now));
        let handles = Arc::clone(&self.handles);
        reply(request.pid(), answer, &self.shared, move |result| match result {
            Ok(text) => {
                let part = part(&text);
                lock(&handles).texts.insert(handle.0, text);
                data.data(&part);
            }
            Err(errno) => data.error(errno),
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        written: ReplyWrite,
    ) {
        let Some(path) = self.path(ino) else { return written.error(FuseErrno::ENOENT) };
        let answer = self.shared.with(|guest, now| guest.write(request.pid(), &path, bytes, now));
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        reply(request.pid(), answer, &self.shared, move |result| match result {
            Ok(()) => written.written(size),
            Err(errno) => written.error(errno),
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(FuseErrno::EINVAL);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let Some((path, Node::Dir)) = self.node(ino) else { return reply.error(FuseErrno::ENOENT) };
        let children = self.shared.with(|guest, now| guest.tree(now).children(&path));
        let dots = [".", ".."].map(|name| (ino.0, FileType::Directory, name.to_owned()));
        let entries = children.into_iter().map(|(name, node)| {
            let kind = match node {
                Node::Dir => FileType::Directory,
                Node::File(..) => FileType::RegularFile,
                Node::Link(_) => FileType::Symlink,
            };
            (self.paths.number(&format!("{}/{name}", path.trim_end_matches('/'))), kind, name)
        });
        let entries = dots.into_iter().chain(entries).collect();
        let mut handles = lock(&self.handles);
        handles.last += 1;
        let last = handles.last;
        handles.folders.insert(last, entries);
        reply.opened(FileHandle(last), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let handles = lock(&self.handles);
        let entries = handles.folders.get(&handle.0).map(Vec::as_slice).unwrap_or_default();
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (number, kind, name)) in entries.iter().enumerate().skip(skip) {
            if reply.add(INodeNo(*number), index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.handles).folders.remove(&handle.0);
        reply.ok();
    }

    fn ioctl(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        word: u32,
        input: &[u8],
        _: u32,
        done: ReplyIoctl,
    ) {
        let (Some(path), Ok(pid)) = (self.path(ino), i32::try_from(request.pid())) else {
            return done.error(FuseErrno::ENODEV);
        };
        if &*path != "/dev/uv" {
            return done.error(FuseErrno::ENOTTY);
        }
        let mut block = [0; BLOCK_LEN];
        if let Some(input) = input.first_chunk() {
            block = *input;
        }
        let memory = ProcessMemory(Pid::from_raw(pid));
        let answer = self.shared.with(|guest, now| guest.ioctl(request.pid(), word, &mut block, &memory, now));
        reply(request.pid(), answer, &self.shared, move |result| match result {
            Ok(()) => done.ioctl(0, &block),
            Err(errno) => done.error(errno),
        });
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(FuseErrno::EACCES);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(FuseErrno::EACCES);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(FuseErrno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(FuseErrno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(FuseErrno::EPERM);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(FuseErrno::EPERM);
    }
}
