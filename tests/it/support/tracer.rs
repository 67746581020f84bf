//! Runs a program under ptrace: lists its system calls, kills it at one of them, or makes some
//! fail.
//!
//! It replaces strace with its `--inject`, so that crash tests need nothing but Rust.
//!
//! **One thread per trace.** ptrace works only for the thread that started the tracee, and a plain
//! `waitpid(-1)` would also take the children of tests that run at the same time. So each trace has
//! its own thread, which waits with `__WNOTHREAD` for its own tracees only.
//!
//! **Nothing outlives a trace**, except children after [`Tracer::detach_children`]. However it ends
//! (by itself, by our kill, by [`LIMIT`], by a panic in a test's filter), all tracees are killed
//! and reaped. An orphaned grandchild is left to init, as after any crash.
//!
//! **What is not seen.** Writes to mapped memory (SQLite's `-shm`) and calls to the vDSO
//! (`clock_gettime`) are not system calls. A kill is not a power cut: what was written stays in the
//! page cache, synced or not. The order of calls of different threads depends on the scheduler, so
//! identify those by what they do, not by index. Job control does not work: a stopped tracee
//! continues at once.
//!
//! Linux with glibc on 64 bits; failing a call on x86_64 and aarch64 only.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "a whole tool for the tests to pick from, and ptrace has no safe interface for all of it"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::os::unix::{ffi::OsStrExt, fs::FileExt, process::CommandExt, process::ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use std::{fmt, io, mem, panic, ptr, thread};

use libc::{c_int, c_long, pid_t};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

/// How long a trace may take. A traced call costs some 30 µs, so only a hung program takes this
/// long: one that waits for a peer, or retries forever because of a permanent fault.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A program about to be traced.
pub struct Tracer {
    command: Command,
    options: Options,
    limit: Duration,
}

/// The result of a trace.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Every call of every tracee, in the order of entry. After a kill, the last one is the call at
    /// which the program was killed.
    pub calls: Vec<Call>,
}

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, before any kill was due.
    Finished(ExitStatus),
    /// By us, at the entry of the last call.
    Killed,
}

/// What happens to a call that is about to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// The call is skipped and returns this error.
    Fail(Errno),
    /// The call is not executed and all tracees get SIGKILL.
    Kill,
}

/// One system call.
#[derive(Debug, Clone)]
pub struct Call {
    pub pid: pid_t,
    pub tid: pid_t,
    pub nr: c_long,
    pub args: [u64; 6],
    /// For a call on a descriptor, the path that is open; else the (first) path argument as passed.
    pub path: Option<PathBuf>,
    /// The kernel's return value, so `-errno` on failure. `None` if the call never returned.
    pub ret: Option<i64>,
    /// Whether it was skipped, and `ret` made up, by a [`Verdict::Fail`].
    pub injected: bool,
}

impl Tracer {
    /// Stdin is as `command` has it; stdout and stderr are always captured.
    pub fn new(command: Command) -> Self {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC;
        let limit = LIMIT;
        Self {
            command,
            options,
            limit,
        }
    }

    /// Does not trace child processes: they are neither listed, nor failed, nor killed, nor waited
    /// for. Threads are still traced, because for the kernel they are clones and not forks.
    pub fn detach_children(mut self) -> Self {
        self.options -= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        self
    }

    /// Replaces [`LIMIT`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs to the end.
    pub fn trace(self) -> io::Result<Outcome> {
        self.run(|_| Verdict::Run)
    }

    /// Kills at the entry of the `n`-th call, counted from 0 after `execve`.
    pub fn kill_at(self, n: usize) -> io::Result<Outcome> {
        let mut entered = 0;
        self.run(move |_| {
            entered += 1;
            if entered > n {
                Verdict::Kill
            } else {
                Verdict::Run
            }
        })
    }

    /// Fails the `n`-th call that matches `filter`, counted from 0, and if `sticky` all later ones.
    pub fn fail(
        self,
        filter: impl Fn(&Call) -> bool + Send,
        n: usize,
        errno: Errno,
        sticky: bool,
    ) -> io::Result<Outcome> {
        let mut matching = 0;
        self.run(move |call| {
            if !filter(call) {
                return Verdict::Run;
            }
            matching += 1;
            let hit = if sticky {
                matching > n
            } else {
                matching == n + 1
            };
            if hit {
                Verdict::Fail(errno)
            } else {
                Verdict::Run
            }
        })
    }

    /// Calls `judge` at the entry of each call. The other methods are special cases of this one.
    ///
    /// Fails if the program does not start, ptrace is forbidden, a call is to fail on a machine
    /// where we do not know how, or the limit has passed.
    pub fn run(self, mut judge: impl FnMut(&Call) -> Verdict + Send) -> io::Result<Outcome> {
        let limit = self.limit;
        let tracees = Mutex::default();
        let (running, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let tracing = scope.spawn(|| {
                let _running = running; // dropped on every way out, which wakes the wait below
                Session::run(self, &tracees, &mut judge)
            });
            let late = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                lock(&tracees).doom();
            }
            let outcome = tracing
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic))?;
            if late {
                Err(outcome.timed_out(limit))
            } else {
                Ok(outcome)
            }
        })
    }
}

impl Outcome {
    pub fn killed(&self) -> bool {
        self.end == End::Killed
    }

    /// The exit code, if the program ended by itself.
    pub fn code(&self) -> Option<i32> {
        match self.end {
            End::Finished(status) => status.code(),
            End::Killed => None,
        }
    }

    /// The program ended by itself, with this exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) {
        let stderr = String::from_utf8_lossy(&self.stderr);
        assert_eq!(self.code(), Some(code), "{:?}: {stderr}", self.end);
    }

    /// The calls that were made to fail: none if the fault was never reached.
    pub fn injected(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.injected)
    }

    fn timed_out(&self, limit: Duration) -> io::Error {
        let count = self.calls.len();
        let last = self.calls.last().map(Call::to_string).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&self.stderr);
        let message = format!("still running after {limit:?} and {count} calls\n{last}\n{stderr}");
        io::Error::new(io::ErrorKind::TimedOut, message)
    }
}

impl Call {
    fn at_entry(pid: pid_t, tid: pid_t, nr: c_long, args: [u64; 6]) -> Self {
        let path = known(nr).and_then(|(_, subject)| match subject {
            Subject::Fd(n) => fs::read_link(format!("/proc/{tid}/fd/{}", args[n] as c_int)).ok(),
            Subject::Path(n) => read_path(tid, args[n]),
            Subject::Other => None,
        });
        let (ret, injected) = (None, false);
        Self {
            pid,
            tid,
            nr,
            args,
            path,
            ret,
            injected,
        }
    }

    /// The name as in the manual; empty if the number is unknown here.
    pub fn name(&self) -> &'static str {
        syscall_name(self.nr).unwrap_or_default()
    }

    pub fn error(&self) -> Option<Errno> {
        let failed = self.ret.filter(|ret| (-4095..0).contains(ret));
        failed.map(|ret| Errno::from_raw(-ret as i32))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            tid,
            nr,
            args,
            path,
            ret,
            ..
        } = self;
        write!(f, "[{pid}/{tid}] {}#{nr}{args:x?} {path:?}", self.name())?;
        match self.error() {
            Some(errno) => write!(f, " = {errno:?}"),
            None => write!(f, " = {ret:?}"),
        }
    }
}

/// The C string at `address`. Reading `/proc/…/mem` stops where the mapping ends, which is not an
/// error.
fn read_path(tid: pid_t, address: u64) -> Option<PathBuf> {
    let mut buffer = [0; libc::PATH_MAX as usize];
    let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
    let length = memory.read_at(&mut buffer, address).ok()?;
    let path = CStr::from_bytes_until_nul(&buffer[..length]).ok()?;
    Some(OsStr::from_bytes(path.to_bytes()).into())
}

/// The tracees that have not been reaped yet: thread id → process id.
///
/// Shared with the thread that watches the time limit. Killing by thread id is safe here: an id is
/// not reused before its owner has been reaped, and kill(2) accepts any thread of a process.
#[derive(Default)]
struct Tracees {
    live: BTreeMap<pid_t, pid_t>,
    doomed: bool,
}

impl Tracees {
    /// Kills all of them, and sets `doomed` for those that a fork has created but not reported yet.
    fn doom(&mut self) {
        self.doomed = true;
        self.live.keys().copied().for_each(kill);
    }
}

fn lock(tracees: &Mutex<Tracees>) -> MutexGuard<'_, Tracees> {
    tracees.lock().expect("nothing panics under this lock")
}

fn kill(tid: pid_t) {
    // SAFETY: takes no pointer. The one error, ESRCH, means that our work is done.
    unsafe { libc::kill(tid, libc::SIGKILL) };
}

/// The process of a thread. The thread's own id if it was killed meanwhile.
fn process_of(tid: pid_t) -> pid_t {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    tgid.and_then(|id| id.trim().parse().ok()).unwrap_or(tid)
}

/// One trace, on its thread.
struct Session<'a> {
    root: pid_t,
    options: Options,
    tracees: &'a Mutex<Tracees>,
    judge: &'a mut dyn FnMut(&Call) -> Verdict,
    calls: Vec<Call>,
    /// The call that each thread is in, as an index into `calls`.
    entered: BTreeMap<pid_t, usize>,
    end: Option<End>,
}

impl<'a> Session<'a> {
    fn run(
        Tracer {
            mut command,
            options,
            ..
        }: Tracer,
        tracees: &'a Mutex<Tracees>,
        judge: &'a mut dyn FnMut(&Call) -> Verdict,
    ) -> io::Result<Outcome> {
        // Files in memory need no thread to drain them, and a detached child cannot hold them up.
        let memory_file = |name| memfd_create(name, MFdFlags::MFD_CLOEXEC).map(File::from);
        let (stdout, stderr) = (memory_file(c"stdout")?, memory_file(c"stderr")?);
        command
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?);
        // SAFETY: PTRACE_TRACEME is a bare system call, fit for the time between fork and exec.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
        let root = command.spawn()?.id() as pid_t;

        let (calls, entered, end) = (Vec::new(), BTreeMap::new(), None);
        let mut session = Self {
            root,
            options,
            tracees,
            judge,
            calls,
            entered,
            end,
        };
        session.follow()?;
        Ok(Outcome {
            end: session
                .end
                .ok_or_else(|| io::Error::other("another thread took our tracee"))?,
            stdout: contents(&stdout)?,
            stderr: contents(&stderr)?,
            calls: mem::take(&mut session.calls),
        })
    }

    /// Handles all changes until no tracee is left.
    fn follow(&mut self) -> io::Result<()> {
        while let Some((tid, status)) = next_change()? {
            if !libc::WIFSTOPPED(status) {
                self.ended(tid, ExitStatus::from_raw(status));
                continue;
            }
            match self.stopped(tid, status) {
                // It was killed while it was stopped. Its end will be reported next.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn ended(&mut self, tid: pid_t, status: ExitStatus) {
        lock(self.tracees).live.remove(&tid);
        self.entered.remove(&tid);
        if tid == self.root {
            self.end.get_or_insert(End::Finished(status));
        }
    }

    fn stopped(&mut self, tid: pid_t, status: c_int) -> io::Result<()> {
        const SYSCALL: c_int = libc::SIGTRAP | 0x80; // by PTRACE_O_TRACESYSGOOD
        let mut tracees = lock(self.tracees);
        let fresh = !tracees.live.contains_key(&tid);
        let pid = *tracees.live.entry(tid).or_insert_with(|| process_of(tid));
        if tracees.doomed {
            kill(tid);
            return Ok(());
        }
        drop(tracees);

        let mut deliver = 0;
        match (libc::WSTOPSIG(status), status >> 16) {
            (SYSCALL, _) => self.syscall(pid, tid)?,
            (_, libc::PTRACE_EVENT_EXEC) => self.exec(tid)?,
            (_, event) if event != 0 => {}
            (libc::SIGTRAP, _) if fresh && tid == self.root => {
                ptrace::setoptions(Pid::from_raw(tid), self.options)?;
            }
            (libc::SIGSTOP, _) if fresh => {} // how a new tracee announces itself
            (signal, _) => deliver = signal,
        }
        Ok(resume(tid, deliver)?)
    }

    /// After an `execve`, only the calling thread is left, and it has the id of the process.
    fn exec(&mut self, pid: pid_t) -> io::Result<()> {
        let former = ptrace::getevent(Pid::from_raw(pid))? as pid_t;
        if former != pid {
            lock(self.tracees).live.remove(&former);
            if let Some(index) = self.entered.remove(&former) {
                self.entered.insert(pid, index);
            }
        }
        Ok(())
    }

    fn syscall(&mut self, pid: pid_t, tid: pid_t) -> io::Result<()> {
        let info = ptrace::syscall_info(Pid::from_raw(tid))?;
        if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            // SAFETY: `op` says which member of the union the kernel has filled.
            let entry = unsafe { info.u.entry };
            return self.enter(Call::at_entry(pid, tid, entry.nr as c_long, entry.args));
        }
        if let Some(index) = self.entered.remove(&tid) {
            // SAFETY: as above; a stop that is not at the entry is at the exit.
            self.calls[index].ret = Some(unsafe { info.u.exit.sval });
        }
        Ok(())
    }

    fn enter(&mut self, mut call: Call) -> io::Result<()> {
        match (self.judge)(&call) {
            Verdict::Run => {}
            Verdict::Fail(errno) => {
                skip(call.tid, -(errno as i64))?;
                call.injected = true;
            }
            Verdict::Kill => {
                self.end = Some(End::Killed);
                lock(self.tracees).doom();
            }
        }
        self.entered.insert(call.tid, self.calls.len());
        self.calls.push(call);
        Ok(())
    }
}

impl Drop for Session<'_> {
    /// Kills all tracees after an error or a panic. Otherwise there are none left.
    fn drop(&mut self) {
        lock(self.tracees).doom();
        while let Ok(Some((tid, status))) = next_change() {
            if libc::WIFSTOPPED(status) {
                kill(tid);
            }
        }
    }
}

/// Waits for the next change of one of this thread's tracees; `None` when there are none.
///
/// Does not use nix, whose `WaitStatus` can't represent the real-time signals that glibc sends to
/// threads.
fn next_change() -> Result<Option<(pid_t, c_int)>, Errno> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives through the call.
        let tid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        match Errno::result(tid) {
            Ok(tid) => return Ok(Some((tid, status))),
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Lets a stopped tracee run to the next entry or exit of a call, delivering `signal` unless it is
/// 0.
fn resume(tid: pid_t, signal: c_int) -> Result<(), Errno> {
    let (unused, signal) = (ptr::null_mut::<u8>(), c_long::from(signal));
    // SAFETY: PTRACE_SYSCALL touches no memory of ours; the signal is passed by value.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, tid, unused, signal) }).map(drop)
}

/// Makes a tracee at the entry of a call skip it and return `ret`.
///
/// -1 is not a valid call, so the kernel executes nothing and keeps the return register as we have
/// set it.
#[cfg(target_arch = "x86_64")]
fn skip(tid: pid_t, ret: i64) -> io::Result<()> {
    let mut registers = ptrace::getregs(Pid::from_raw(tid))?;
    registers.orig_rax = u64::MAX;
    registers.rax = ret as u64;
    Ok(ptrace::setregs(Pid::from_raw(tid), registers)?)
}

/// Like on x86_64, but the number of the call is in a separate register set.
#[cfg(target_arch = "aarch64")]
fn skip(tid: pid_t, ret: i64) -> io::Result<()> {
    const NT_ARM_SYSTEM_CALL: c_long = 0x404;
    let mut registers = ptrace::getregs(Pid::from_raw(tid))?;
    registers.regs[0] = ret as u64;
    ptrace::setregs(Pid::from_raw(tid), registers)?;
    let mut nr: c_int = -1;
    let (iov_base, iov_len) = ((&raw mut nr).cast(), size_of::<c_int>());
    let set = libc::iovec { iov_base, iov_len };
    let request = libc::PTRACE_SETREGSET;
    // SAFETY: `set` and the number it points to live through the call.
    let result = unsafe { libc::ptrace(request, tid, NT_ARM_SYSTEM_CALL, &raw const set) };
    Ok(Errno::result(result).map(drop)?)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn skip(_: pid_t, _: i64) -> io::Result<()> {
    let message = "failing a call is only implemented on x86_64 and aarch64";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// The whole content of a file, without moving the offset that it shares with processes that are
/// still writing.
fn contents(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// What a call operates on, and which argument that is.
enum Subject {
    Fd(usize),
    Path(usize),
    Other,
}

/// The name of a call, for those that tests filter on.
pub fn syscall_name(nr: c_long) -> Option<&'static str> {
    known(nr).and_then(|(name, _)| name.strip_prefix("SYS_"))
}

fn known(nr: c_long) -> Option<(&'static str, Subject)> {
    use Subject::{Fd, Other, Path};
    macro_rules! table {
        ($($subject:expr => $($name:ident)*;)*) => {
            match nr {
                $($(libc::$name => return Some((stringify!($name), $subject)),)*)*
                _ => {}
            }
        };
    }
    table! {
        Fd(0) => SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev
            SYS_close SYS_fsync SYS_fdatasync SYS_ftruncate SYS_fallocate SYS_fadvise64 SYS_flock SYS_fcntl
            SYS_fstat SYS_fchmod SYS_lseek SYS_ioctl SYS_dup SYS_dup3 SYS_getdents64 SYS_sendto SYS_recvfrom
            SYS_sendmsg SYS_recvmsg SYS_connect SYS_bind SYS_listen SYS_accept4 SYS_shutdown SYS_epoll_pwait;
        Fd(4) => SYS_mmap;
        Path(0) => SYS_execve SYS_chdir SYS_truncate;
        Path(1) => SYS_openat SYS_newfstatat SYS_statx SYS_faccessat SYS_faccessat2 SYS_readlinkat
            SYS_mkdirat SYS_unlinkat SYS_renameat2 SYS_linkat SYS_fchmodat;
        Other => SYS_munmap SYS_mprotect SYS_mremap SYS_msync SYS_madvise SYS_brk SYS_futex SYS_socket
            SYS_clone SYS_clone3 SYS_wait4 SYS_kill SYS_getrandom SYS_rt_sigaction SYS_rt_sigprocmask
            SYS_clock_nanosleep SYS_exit SYS_exit_group;
    }
    #[cfg(target_arch = "x86_64")]
    table! {
        Fd(0) => SYS_dup2 SYS_epoll_wait;
        Path(0) => SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_mkdir SYS_rmdir
            SYS_unlink SYS_rename SYS_link SYS_chmod;
        Path(1) => SYS_renameat;
        Other => SYS_fork SYS_vfork SYS_poll;
    }
    None
}
