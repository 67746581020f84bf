//! P2 for spools that were copied or restored: backups, golden images, reverted snapshots. Whatever
//! the copies do, the destination has each event once, and none is missing.

use std::fs;
use std::path::Path;

use hyper::Method;

use crate::support::gist_server::{Fault, GistServer};
use crate::support::tracer::Tracer;
use crate::support::world::World;

/// A destination that several worlds share.
enum Shared {
    Dir(tempfile::TempDir),
    Gist(GistServer),
}

impl Shared {
    fn each() -> [Self; 2] {
        [
            Self::Dir(tempfile::tempdir().expect("a temporary directory")),
            Self::Gist(GistServer::start()),
        ]
    }

    fn world(&self) -> World {
        match self {
            Self::Dir(_) => World::new(),
            Self::Gist(server) => World::with_gist(server),
        }
    }

    fn flush(&self, world: &World) {
        self.polite();
        match self {
            Self::Dir(dir) => world.flush(["--now", "--to", &target(dir.path())]),
            Self::Gist(_) => world.flush(["--now"]),
        };
    }

    /// Something that changes with each write: for a directory, the inode numbers of its files.
    fn written(&self) -> Vec<u64> {
        match self {
            Self::Dir(dir) => {
                let files = fs::read_dir(dir.path()).expect("reads");
                let inode = |entry: std::io::Result<fs::DirEntry>| {
                    let metadata = entry.expect("reads").metadata().expect("is there");
                    std::os::unix::fs::MetadataExt::ino(&metadata)
                };
                files.map(inode).collect()
            }
            Self::Gist(server) => {
                let requests = server.requests();
                let writes = requests.iter().filter(|request| request.is_write());
                writes.map(|request| request.id).collect()
            }
        }
    }

    /// Switches off the check of pauses: each copy keeps a pause after its own last write, but
    /// knows nothing about the writes of others.
    fn polite(&self) {
        if let Self::Gist(server) = self {
            server.set_spacing_check(false);
        }
    }

    fn event_ids(&self) -> Vec<String> {
        let mut ids = match self {
            Self::Dir(dir) => ids_in(dir.path()),
            Self::Gist(server) => server.event_ids_across_files(),
        };
        ids.sort();
        ids
    }
}

fn target(dir: &Path) -> String {
    format!("dir:{}", dir.display())
}

pub(crate) fn ids_in(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir)
        .expect("reads")
        .map(|entry| entry.expect("reads").path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("reads");
            let ids = text.lines().map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                event["event_id"].as_str().expect("a string").to_owned()
            });
            ids.collect::<Vec<_>>()
        })
        .collect()
}

/// Replaces one home with a copy of another.
pub(crate) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("removes");
    }
    fs::create_dir(to).expect("makes");
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
    let mut rights = fs::metadata(to).expect("is there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o700);
    fs::set_permissions(to, rights).expect("sets");
}

/// Every event that was recorded in any of the worlds.
#[derive(Default)]
struct Recorded(std::collections::BTreeSet<String>);

impl Recorded {
    fn see(&mut self, world: &World) {
        self.0.extend(world.event_ids());
    }

    fn are_each_there_once(&self, shared: &Shared) {
        let recorded: Vec<_> = self.0.iter().cloned().collect();
        assert_eq!(shared.event_ids(), recorded);
    }
}

fn all_is_sent(world: &World) {
    let rows = world.rows();
    assert!(rows.iter().all(|row| row["state"] == "sent"), "{rows:#?}");
    world.check();
}

#[test]
fn a_home_restored_from_a_backup_overwrites_nothing_that_it_sent_after_the_backup() {
    for shared in Shared::each() {
        let (world, mut recorded) = (shared.world(), Recorded::default());
        let backup = world.cwd().join("backup");
        world.record();
        shared.flush(&world);
        copy(&world.home(), &backup);
        world.record_many(2);
        recorded.see(&world);
        shared.flush(&world);
        copy(&backup, &world.home());
        world.record();
        recorded.see(&world);
        shared.flush(&world);
        recorded.are_each_there_once(&shared);
        all_is_sent(&world);
        // It continues in a file of its own.
        world.record();
        recorded.see(&world);
        shared.flush(&world);
        recorded.are_each_there_once(&shared);
    }
}

#[test]
fn twenty_copies_of_an_image_with_events_waiting_send_each_event_once() {
    for shared in Shared::each() {
        let (image, mut recorded) = (shared.world(), Recorded::default());
        image.record();
        shared.flush(&image);
        image.record_many(3);
        let copies: Vec<_> = (0..20).map(|_| shared.world()).collect();
        for world in &copies {
            copy(&image.home(), &world.home());
            world.record_many(2);
            recorded.see(world);
            shared.flush(world);
            all_is_sent(world);
        }
        recorded.are_each_there_once(&shared);
        for world in copies.iter().rev() {
            world.record();
            recorded.see(world);
            shared.flush(world);
            all_is_sent(world);
        }
        recorded.are_each_there_once(&shared);
    }
}

#[test]
fn copies_of_an_image_that_has_sent_nothing_recognize_the_events_they_share() {
    for shared in Shared::each() {
        let (image, mut recorded) = (shared.world(), Recorded::default());
        image.record_many(3);
        let copies: Vec<_> = (0..4).map(|_| shared.world()).collect();
        for world in &copies {
            copy(&image.home(), &world.home());
        }
        for round in 0..2 {
            for world in &copies {
                world.record_many(round + 1);
                recorded.see(world);
                shared.flush(world);
                all_is_sent(world);
            }
        }
        recorded.are_each_there_once(&shared);
    }
}

#[test]
fn a_snapshot_that_is_restored_again_and_again_loses_and_duplicates_nothing() {
    for shared in Shared::each() {
        let (world, mut recorded) = (shared.world(), Recorded::default());
        let snapshot = world.cwd().join("snapshot");
        world.record_many(2);
        shared.flush(&world);
        world.record_many(2);
        copy(&world.home(), &snapshot);
        for _ in 0..4 {
            copy(&snapshot, &world.home());
            shared.flush(&world);
            world.record();
            recorded.see(&world);
            shared.flush(&world);
            all_is_sent(&world);
            recorded.are_each_there_once(&shared);
        }
    }
}

#[test]
fn a_copy_made_while_an_answer_was_lost_treats_what_has_arrived_as_sent() {
    let server = GistServer::start();
    let (world, mut recorded) = (World::with_gist(&server), Recorded::default());
    world.record_many(3);
    server.plan_on(Method::PATCH, Fault::CutAfterCommit);
    world.flush([]);
    assert_eq!(world.count("sending"), 3);
    let twin = World::with_gist(&server);
    copy(&world.home(), &twin.home());
    let shared = Shared::Gist(server);
    for one in [&world, &twin, &world, &twin] {
        one.record();
        recorded.see(one);
        shared.flush(one);
        all_is_sent(one);
    }
    recorded.are_each_there_once(&shared);
}

#[test]
fn a_copy_that_is_killed_at_any_of_its_system_calls_still_sends_each_event_once() {
    // A copy with an event of its own, and a directory to which the other copy has written.
    let start = Shared::Dir(tempfile::tempdir().expect("a temporary directory"));
    let Shared::Dir(there) = &start else { return };
    let (world, image, mut twins) = (start.world(), start.world(), Recorded::default());
    world.record();
    start.flush(&world);
    world.record();
    copy(&world.home(), &image.home());
    world.record();
    twins.see(&world);
    start.flush(&world);
    image.record();
    twins.see(&image);

    let mut n = 0;
    loop {
        let shared = Shared::Dir(tempfile::tempdir().expect("a temporary directory"));
        let Shared::Dir(dir) = &shared else { return };
        copy(there.path(), dir.path());
        let twin = shared.world();
        copy(&image.home(), &twin.home());
        let flush = twin.command(["flush", "--to", &target(dir.path())]);
        let killed = Tracer::new(flush).kill_at(n).expect("traces").killed();
        shared.flush(&twin);
        twins.are_each_there_once(&shared);
        if !killed {
            break all_is_sent(&twin);
        }
        n += 1;
    }
}

#[test]
fn copies_that_flush_to_a_directory_at_the_same_moment_send_each_event_once() {
    let shared = Shared::Dir(tempfile::tempdir().expect("a temporary directory"));
    let Shared::Dir(dir) = &shared else { return };
    let (image, mut recorded) = (shared.world(), Recorded::default());
    image.record();
    shared.flush(&image);
    image.record_many(3);
    let copies: Vec<_> = (0..8).map(|_| shared.world()).collect();
    for world in &copies {
        copy(&image.home(), &world.home());
        world.record();
        recorded.see(world);
    }
    let flushes: Vec<_> = copies
        .iter()
        .map(|world| {
            let mut flush = world.command(["flush", "--strict", "--to", &target(dir.path())]);
            flush.spawn().expect("starts")
        })
        .collect();
    for mut flush in flushes {
        assert!(flush.wait().expect("ends").success());
    }
    recorded.are_each_there_once(&shared);
    copies.iter().for_each(all_is_sent);
}

#[test]
fn events_that_another_copy_overwrote_at_the_same_moment_are_sent_again() {
    for shared in Shared::each() {
        let (world, mut recorded) = (shared.world(), Recorded::default());
        world.record();
        shared.flush(&world);
        let twin = shared.world();
        copy(&world.home(), &twin.home());
        world.record();
        recorded.see(&world);
        twin.record();
        recorded.see(&twin);
        shared.flush(&world);
        // Both looked before either wrote, so the other copy's file replaced the whole file of the
        // same name.
        let twins = twin.cwd().join("twins");
        twin.flush(["--to", &target(&twins)]);
        let name = fs::read_dir(&twins)
            .expect("reads")
            .next()
            .expect("one")
            .expect("reads");
        let content = format!(
            "{}\n{}\n",
            world.payloads()[0],
            fs::read_to_string(name.path()).expect("reads").trim_end()
        );
        match &shared {
            Shared::Dir(dir) => {
                let only = fs::read_dir(dir.path())
                    .expect("reads")
                    .next()
                    .expect("one");
                fs::write(only.expect("reads").path(), content).expect("writes");
            }
            Shared::Gist(server) => {
                let files = server.files();
                let name = files.keys().find(|name| name.starts_with("events-"));
                server.put_file(name.expect("one"), &content);
            }
        }
        world.record();
        recorded.see(&world);
        shared.flush(&world);
        recorded.are_each_there_once(&shared);
        all_is_sent(&world);
    }
}

#[test]
fn a_look_is_enough_to_mark_what_a_copy_has_sent_as_sent() {
    for shared in Shared::each() {
        let (world, twin) = (shared.world(), shared.world());
        world.record_many(2);
        copy(&world.home(), &twin.home());
        shared.flush(&world);
        let before = shared.written();
        let report = match &shared {
            Shared::Dir(dir) => twin.flush(["--now", "--to", &target(dir.path())]),
            Shared::Gist(_) => twin.flush(["--now"]),
        };
        assert_eq!(report["sent"], 2, "{report}");
        assert_eq!(shared.written(), before);
        all_is_sent(&twin);
    }
}

#[test]
fn a_held_event_that_a_copy_has_sent_is_sent_and_stays_there() {
    let server = GistServer::start();
    server.set_spacing_check(false);
    let (world, twin) = (World::with_gist(&server), World::with_gist(&server));
    world.record_many(1);
    server.refuse_content_containing("scan.started");
    world.record();
    world.flush([]);
    assert_eq!((world.count("held"), world.count("sent")), (1, 1));
    copy(&world.home(), &twin.home());
    server.recover();
    world.run(["spool", "retry", "ALL"]).ok();
    world.flush(["--now"]);
    twin.record();
    twin.flush(["--now"]);
    all_is_sent(&world);
    all_is_sent(&twin);
    let (mut there, mut recorded) = (server.event_ids_across_files(), twin.event_ids());
    there.sort();
    recorded.sort();
    assert_eq!(there, recorded);
}

#[test]
fn a_directory_that_another_flush_has_locked_is_tried_later() {
    let world = World::new();
    world.record();
    fs::create_dir(world.out()).expect("makes");
    let other = fs::File::open(world.out()).expect("opens");
    other.lock().expect("locks");
    let ran = world.run(["flush", "--strict", "--json", "--to", &world.out_target()]);
    assert_eq!(ran.exits(75).json()["outcome"], "failed");
    assert_eq!(fs::read_dir(world.out()).expect("reads").count(), 0);
    world.check();
    drop(other);
    world.flush(["--now", "--to", &world.out_target()]);
    assert_eq!(world.lines_out(), world.payloads());
    all_is_sent(&world);
}
