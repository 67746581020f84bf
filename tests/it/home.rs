//! The home: who must own it, and what happens if something else is in the place of its files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::support::tracer::Tracer;
use crate::support::world::{ONE, Ran, World};

/// Two users other than root. The kernel needs no names for them.
const ALICE: u32 = 41_001;
const MALLORY: u32 = 41_002;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("changes the mode");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o7777
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A world whose directory everybody can enter.
fn open_world() -> World {
    let world = World::new();
    chmod(&world.cwd(), 0o755);
    world
}

/// Creates the home for this user.
fn make_home(world: &World, owner: u32, mode: u32) {
    fs::create_dir(world.home()).expect("makes the home");
    chmod(&world.home(), mode);
    chown(world.home(), Some(owner), Some(owner)).expect("gives it away");
}

/// Runs the program as this user.
fn run_as<'a>(world: &World, user: u32, args: impl IntoIterator<Item = &'a str>) -> Ran {
    let mut command = world.command(args);
    command.uid(user).gid(user);
    let output = command.output().expect("runs");
    Ran::from_output(&command, output)
}

/// Runs the program, and fails if it does not end soon.
fn run_soon(mut command: Command) -> Ran {
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("starts");
    assert!(
        ends_within(&mut child, Duration::from_secs(20)),
        "{command:?} hangs"
    );
    let output = child.wait_with_output().expect("ends");
    Ran::from_output(&command, output)
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if child.try_wait().expect("is a child").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("is killed");
    false
}

#[test]
fn a_default_home_that_the_umask_made_wide_is_tightened() {
    let mut world = World::new();
    world.unset("JMO_TELEMETRY_HOME");
    let home = world.cwd().join(".jmo-security");
    fs::create_dir(&home).expect("makes it");
    for wide in [0o755, 0o775, 0o777] {
        chmod(&home, wide);
        default_home(&world, ONE).ok();
        assert_eq!(mode(&home), 0o700);
    }
}

#[test]
fn a_umask_that_takes_the_owners_own_rights_takes_nothing_from_the_home() {
    let world = open_world();
    chmod(&world.cwd(), 0o777);
    for mask in [0o777, 0o177, 0o277] {
        let home = world.cwd().join(format!("home-{mask:o}"));
        let run = |args: &[&str]| {
            let mut command = Command::new("sh");
            let program = world.command(args);
            command
                .arg("-c")
                .arg(format!("umask {mask:o}; exec \"$@\""))
                .arg("sh")
                .arg(program.get_program())
                .args(args)
                .env_clear()
                .env("JMO_TELEMETRY_HOME", &home)
                .current_dir(world.cwd());
            if is_root() {
                command.uid(ALICE).gid(ALICE);
            }
            run_soon(command).ok()
        };
        run(&ONE);
        run(&["enable"]);
        assert_eq!(mode(&home), 0o700);
        for entry in fs::read_dir(&home).expect("a directory") {
            let path = entry.expect("an entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

/// Runs the program with the home that HOME implies.
fn default_home<A: AsRef<OsStr>>(world: &World, args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = world.command(args);
    command.env_remove("JMO_TELEMETRY_HOME");
    run_soon(command)
}

#[test]
fn a_named_home_that_others_can_write_is_refused_with_a_command_to_fix_it_and_not_changed() {
    let world = World::new();
    fs::create_dir(world.home()).expect("makes it");
    for wide in [0o777, 0o775, 0o722] {
        chmod(&world.home(), wide);
        for args in [&ONE[..], &["flush"], &["status"], &["disable"], &["view"]] {
            let ran = world.run(args).exits(73);
            let command = format!("chmod 700 {}", world.home().display());
            assert!(ran.stderr.contains(&command), "{ran}");
            assert_eq!(mode(&world.home()), wide, "{ran}");
        }
        assert_eq!(fs::read_dir(world.home()).expect("a directory").count(), 0);
    }
    chmod(&world.home(), 0o755);
    world.record();
    assert_eq!(mode(&world.home()), 0o755);
}

#[test]
fn a_directory_that_everybody_shares_is_refused_as_home_and_not_changed() {
    let world = World::new();
    fs::create_dir(world.home()).expect("makes it");
    chmod(&world.home(), 0o1777);
    let ran = world.run(ONE).exits(73);
    assert!(ran.stderr.contains("JMO_TELEMETRY_HOME"), "{ran}");
    assert!(!ran.stderr.contains("chmod"), "{ran}");
    assert_eq!(mode(&world.home()), 0o1777);
}

#[test]
fn a_refused_home_does_not_matter_while_the_environment_disables_telemetry() {
    let world = World::new().with("DO_NOT_TRACK", "1");
    fs::create_dir(world.home()).expect("makes it");
    chmod(&world.home(), 0o777);
    for args in [&ONE[..], &["flush"], &["banner"], &["info"]] {
        let ran = world.run(args).ok();
        assert_eq!(ran.stderr, "");
    }
    assert_eq!(fs::read_dir(world.home()).expect("a directory").count(), 0);
}

#[test]
fn somebody_elses_home_is_refused_and_nothing_in_it_is_believed() {
    if !is_root() {
        return;
    }
    let world = open_world()
        .with("JMO_TELEMETRY_GITHUB_TOKEN", "ghp_secret")
        .with("JMO_TELEMETRY_GIST_ID", "0123456789abcdef0123");
    for wide in [0o700, 0o755, 0o777] {
        make_home(&world, MALLORY, wide);
        let planted = r#"{"destination":"gist:0123456789abcdef0123","api":"http://127.0.0.1:9"}"#;
        fs::write(world.file("destination.json"), planted).expect("plants it");
        chown(world.file("destination.json"), Some(MALLORY), None).expect("gives it away");
        for args in [&ONE[..], &["flush"], &["connect", "--show"], &["status"]] {
            let ran = run_as(&world, ALICE, args.iter().copied()).exits(73);
            assert!(ran.stderr.contains("another user"), "{ran}");
        }
        assert_eq!(fs::read_dir(world.home()).expect("a directory").count(), 1);
        fs::remove_dir_all(world.home()).expect("removes it");
    }
}

#[test]
fn root_in_a_users_home_leaves_nothing_behind_that_is_not_the_users() {
    if !is_root() {
        return;
    }
    // With an existing home, and with only the directory in which it will be created.
    for made in [true, false] {
        let mut world = open_world();
        world.unset("JMO_TELEMETRY_HOME");
        let user = world.cwd().join("alice");
        fs::create_dir(&user).expect("makes it");
        chown(&user, Some(ALICE), Some(ALICE)).expect("gives it away");
        let home = user.join(".jmo-security");
        if made {
            fs::create_dir(&home).expect("makes it");
            chown(&home, Some(ALICE), Some(ALICE)).expect("gives it away");
        }
        let command = |args: &[&str]| {
            let mut command = world.command(args);
            command.env_remove("JMO_TELEMETRY_HOME").env("HOME", &user);
            command
        };
        let out = format!("dir:{}", user.join("out").display());
        let calls: [&[&str]; 5] = [
            &ONE,
            &["flush", "--to", &out],
            &["view"],
            &["enable"],
            &["status"],
        ];
        for args in calls {
            run_soon(command(args)).ok();
        }
        let mut alice = command(&ONE);
        alice.uid(ALICE).gid(ALICE);
        run_soon(alice).ok();
        for path in files_of(&user) {
            let metadata = fs::symlink_metadata(&path).expect("is there");
            assert_eq!((metadata.uid(), metadata.gid()), (ALICE, ALICE), "{path:?}");
        }
    }
}

#[test]
fn root_goes_nowhere_that_a_users_link_leads_unless_the_user_may_go_there() {
    if !is_root() {
        return;
    }
    let world = open_world();
    let [user, roots] = ["alice", "roots"].map(|name| world.cwd().join(name));
    for dir in [&user, &roots] {
        fs::create_dir(dir).expect("makes it");
        chmod(dir, 0o755);
    }
    chown(&user, Some(ALICE), Some(ALICE)).expect("gives it away");
    let link = user.join(".jmo-security");
    symlink(&roots, &link).expect("makes the link");
    std::os::unix::fs::lchown(&link, Some(ALICE), Some(ALICE)).expect("gives it away");
    // As the home, and as a directory above it.
    for home in [link.clone(), link.join("home")] {
        for args in [&ONE[..], &["enable"]] {
            let mut command = world.command(args);
            if home == link {
                command.env_remove("JMO_TELEMETRY_HOME").env("HOME", &user);
            } else {
                command.env("JMO_TELEMETRY_HOME", &home);
            }
            run_soon(command).exits(73);
            assert_eq!(mode(&roots), 0o755, "{home:?}");
            assert_eq!(fs::read_dir(&roots).expect("reads").count(), 0, "{home:?}");
        }
    }
    // A link to a directory of the user's own is followed.
    chown(&roots, Some(ALICE), Some(ALICE)).expect("gives it away");
    let mut command = world.command(ONE);
    command.env_remove("JMO_TELEMETRY_HOME").env("HOME", &user);
    run_soon(command).ok();
    for path in files_of(&roots) {
        assert_eq!(
            fs::metadata(&path).expect("is there").uid(),
            ALICE,
            "{path:?}"
        );
    }
}

#[test]
fn a_home_that_is_a_link_to_nothing_is_named_in_the_error() {
    let world = World::new();
    symlink(world.cwd().join("gone"), world.home()).expect("makes the link");
    let ran = world.run(ONE).exits(73);
    let named = format!("home `{}`: it is not a directory", world.home().display());
    assert!(ran.stderr.contains(&named), "{ran}");
}

fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files_of(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

/// The names of all files of the home.
const NAMES: [&str; 14] = [
    "spool.db",
    "spool.db-wal",
    "spool.db-shm",
    "spool.db.new",
    "spool.lock",
    "flush.lock",
    "telemetry-id",
    "scan-count",
    "consent.json",
    "destination.json",
    "notice-shown",
    "view-cache",
    "overflow.jsonl",
    "spool.db.corrupt-20261124T000000Z",
];

/// What can be there in the place of a file. The links lead to another user's file and directory.
const THINGS: [&str; 6] = [
    "link to a file",
    "link to a directory",
    "dangling link",
    "pipe",
    "device",
    "directory",
];

fn put(world: &World, thing: &str, path: &Path) {
    let foreign = world.cwd().join("foreign");
    match thing {
        "link to a file" => symlink(foreign.join("file"), path).expect("links"),
        "link to a directory" => symlink(&foreign, path).expect("links"),
        "dangling link" => symlink(foreign.join("missing"), path).expect("links"),
        "pipe" => nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("makes a pipe"),
        "device" if is_root() => mknod(
            path,
            SFlag::S_IFCHR,
            Mode::S_IRUSR | Mode::S_IWUSR,
            nix::sys::stat::makedev(1, 5),
        )
        .expect("makes a device"),
        "device" => symlink("/dev/zero", path).expect("links"),
        _ => fs::create_dir(path).expect("makes a directory"),
    }
}

#[test]
fn whatever_is_in_the_place_of_a_file_no_foreign_file_changes_and_every_command_ends() {
    for (name, thing) in NAMES
        .iter()
        .flat_map(|name| THINGS.map(|thing| (*name, thing)))
    {
        let world = World::new();
        let foreign = world.cwd().join("foreign");
        fs::create_dir(&foreign).expect("makes it");
        fs::write(foreign.join("file"), "theirs").expect("writes");
        // With a spool that is in use, and in a new home.
        if !name.starts_with("spool.db") {
            world.record();
        }
        fs::create_dir_all(world.home()).expect("makes it");
        chmod(&world.home(), 0o700);
        let path = world.file(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("removes it");
        } else {
            let _ = fs::remove_file(&path);
        }
        put(&world, thing, &path);
        let recorded = run_soon(world.command(ONE));
        assert!(
            matches!(recorded.code, Some(0 | 73 | 74)),
            "{name}, {thing}: {recorded}"
        );
        if recorded.code == Some(0) && name != "consent.json" {
            let overflow = world.file("overflow.jsonl");
            let is_file = fs::symlink_metadata(&overflow).is_ok_and(|file| file.is_file());
            let overflow = is_file.then(|| fs::read_to_string(overflow).expect("reads"));
            let listed = run_soon(world.command(["spool", "list", "--json"]));
            assert!(
                overflow.is_some_and(|text| text.contains("tool.failed"))
                    || listed.stdout.contains("tool.failed"),
                "{name}, {thing}: {recorded} {listed}"
            );
        } else if recorded.code != Some(0) {
            assert!(recorded.stderr.contains(name), "{thing}: {recorded}");
        }
        let out = world.out_target();
        let calls: [&[&str]; 9] = [
            &["flush", "--to", &out],
            &["status"],
            &["view"],
            &["banner"],
            &["spool", "check"],
            &["connect", "dir", "out"],
            &["disconnect"],
            &["disable"],
            &["forget", "--yes"],
        ];
        for args in calls {
            let ran = run_soon(world.command(args));
            assert!(
                ran.code.is_some_and(|code| code != 101),
                "{name}, {thing}: {ran}"
            );
        }
        let theirs = fs::read_to_string(foreign.join("file")).expect("is there");
        assert_eq!(theirs, "theirs", "{name}, {thing}");
        let count = fs::read_dir(&foreign).expect("is there").count();
        assert_eq!(count, 1, "{name}, {thing}: {:?}", files_of(&foreign));
    }
}

#[test]
fn an_event_finds_its_way_when_a_file_of_the_spool_is_a_link() {
    for name in ["spool.db", "spool.lock", "overflow.jsonl", "telemetry-id"] {
        let world = World::new();
        world.record();
        let _ = fs::remove_file(world.file(name));
        symlink(world.cwd().join("elsewhere"), world.file(name)).expect("links");
        world.record();
        assert!(!world.cwd().join("elsewhere").exists(), "{name}");
    }
}

#[test]
fn a_jmo_yml_that_is_no_file_disables_at_once_and_in_little_memory() {
    let endless = |world: &World| symlink("/dev/zero", world.cwd().join("jmo.yml"));
    let input = |world: &World| symlink("/dev/stdin", world.cwd().join("jmo.yml"));
    let pipe = |world: &World| {
        nix::unistd::mkfifo(&world.cwd().join("jmo.yml"), Mode::S_IRWXU).map_err(Into::into)
    };
    let sparse = |world: &World| {
        let file = fs::File::create(world.cwd().join("jmo.yml"))?;
        file.set_len(3 << 30)
    };
    let directory = |world: &World| fs::create_dir(world.cwd().join("jmo.yml"));
    type Make<'a> = &'a dyn Fn(&World) -> std::io::Result<()>;
    let all: [(&str, Make<'_>); 5] = [
        ("device", &endless),
        ("stdin", &input),
        ("pipe", &pipe),
        ("sparse", &sparse),
        ("directory", &directory),
    ];
    for (what, make) in all {
        let world = World::new();
        make(&world).expect("makes it");
        let mut command = world.command(["status", "--json"]);
        // Far less than the size of the file, but enough for the program.
        let limit = 256 * 1024 * 1024;
        let bounded = move || {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, limit, limit)
                .map_err(Into::into)
        };
        #[expect(unsafe_code, reason = "sets a limit only for the child")]
        // SAFETY: setrlimit is a system call and nothing else.
        unsafe {
            command.pre_exec(bounded);
        }
        let status = run_soon(command).ok().json();
        assert_eq!(status["enabled"], false, "{what}: {status}");
        assert_eq!(status["rule"], "jmo.yml", "{what}: {status}");
        let ran = world
            .run_with(["record", "--stdin"], &crate::support::world::lines(1))
            .ok();
        assert_eq!(ran.stdout, "", "{what}");
        assert!(!world.home().exists(), "{what}");
    }
}

#[test]
fn without_home_the_error_names_the_variable_that_helps() {
    let world = World::new();
    let mut command = world.command(ONE);
    command.env_remove("JMO_TELEMETRY_HOME").env_remove("HOME");
    let ran = run_soon(command).exits(78);
    assert!(ran.stderr.contains("JMO_TELEMETRY_HOME"), "{ran}");
    // A user that the system does not know.
    if is_root() {
        let world = open_world();
        let mut command = world.command(ONE);
        command.env_remove("JMO_TELEMETRY_HOME").env_remove("HOME");
        command.uid(ALICE).gid(ALICE);
        run_soon(command).exits(78);
    }
}

#[test]
fn a_home_whose_name_is_not_unicode_is_that_directory_and_no_other() {
    let world = World::new();
    let name = OsString::from_vec(b"h\xf6me".to_vec());
    let home = world.cwd().join(&name);
    let mut command = world.command(ONE);
    command.env("JMO_TELEMETRY_HOME", &home);
    run_soon(command).ok();
    assert!(home.join("spool.db").exists());
    let names: Vec<_> = fs::read_dir(world.cwd())
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().as_bytes().to_vec())
        .collect();
    assert_eq!(names, [name.as_bytes()]);
}

#[test]
fn a_relative_directory_below_one_whose_name_is_not_unicode_is_refused_and_nothing_goes_elsewhere()
{
    let world = World::new();
    world.record();
    let here = world.cwd().join(OsString::from_vec(b"h\xf6me".to_vec()));
    fs::create_dir(&here).expect("makes it");
    for args in [
        &["flush", "--to", "dir:out"][..],
        &["flush", "--to", "dir:out", "--dry-run"],
        &["connect", "dir", "out"],
    ] {
        let mut command = world.command(args);
        command.current_dir(&here);
        let ran = run_soon(command).exits(2);
        assert!(ran.stderr.contains("not Unicode"), "{ran}");
        assert!(!ran.stderr.contains('\u{fffd}'), "{ran}");
    }
    assert_eq!(files_of(&here), Vec::<std::path::PathBuf>::new());
    let count = fs::read_dir(world.cwd()).expect("a directory").count();
    assert_eq!(count, 2, "the home and that directory");
    assert!(!world.file("destination.json").exists());
    // A directory somewhere else can still be used with its full path.
    let target = world.out_target();
    let mut flush = world.command(["flush", "--json", "--to", &target]);
    flush.current_dir(&here);
    assert_eq!(run_soon(flush).ok().json()["sent"], 1);
}

#[test]
fn on_a_file_system_without_locks_an_event_is_kept_and_the_error_says_what_to_do() {
    for errno in [Errno::ENOLCK, Errno::EOPNOTSUPP, Errno::ENOSYS] {
        let world = World::new();
        let no_locks = |args: &[&str]| {
            Tracer::new(world.command(args))
                .fail(|call| call.name() == "flock", 0, errno, true)
                .expect("runs")
        };
        let recorded = no_locks(&ONE);
        assert!(recorded.injected().count() > 0);
        recorded.exits(0);
        let overflow = fs::read_to_string(world.file("overflow.jsonl")).expect("is there");
        assert_eq!(overflow.lines().count(), 1);
        let flushed = no_locks(&["flush", "--strict", "--to", &world.out_target()]);
        let talk = String::from_utf8_lossy(&flushed.stderr).into_owned();
        assert!(
            talk.contains("no locks") && talk.contains("JMO_TELEMETRY_HOME"),
            "{talk}"
        );
        // It is imported as soon as locks work.
        assert_eq!(world.rows().len(), 1);
    }
}

#[test]
fn a_failing_lock_is_an_error_in_the_home_and_does_not_prevent_a_flush_to_a_directory() {
    let world = World::new();
    world.record();
    // NFS behaves like this: a handle that was opened for reading can't be locked exclusively.
    let unlockable = |args: &[&str], path: &std::path::Path| {
        Tracer::new(world.command(args))
            .fail(
                |call| call.name() == "flock" && call.path.as_deref() == Some(path),
                0,
                Errno::EBADF,
                true,
            )
            .expect("runs")
    };
    let to = world.out_target();
    let flushed = unlockable(&["flush", "--strict", "--to", &to], &world.out());
    assert!(flushed.injected().count() > 0, "the directory is locked");
    flushed.exits(0);
    assert_eq!(world.lines_out(), world.payloads());
    for name in ["spool.lock", "flush.lock"] {
        let path = world.file(name);
        let failed = unlockable(&["flush", "--strict", "--to", &to], &path);
        let talk = String::from_utf8_lossy(&failed.stderr).into_owned();
        failed.exits(74);
        assert!(
            talk.contains(&format!("failed to lock `{}`", path.display())),
            "{talk}"
        );
    }
}
