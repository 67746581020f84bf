//! A Gist with more files than GitHub lists, shared by many machines. Each finds its own files, and
//! nothing is lost or duplicated. Where that does not work, the error says so.

use crate::copies::copy;
use crate::support::gist_server::{Fault, GistServer};
use crate::support::world::World;

/// A Gist to which this many other machines have written. Their files come before ours in the list.
fn shared_by(machines: usize) -> GistServer {
    let server = GistServer::start();
    let files = (0..machines).map(|n| format!("events-20200101-{n:016x}.jsonl"));
    server.put_files(files.map(|name| (name, "{\"event\":\"another machine's\"}\n".to_owned())));
    server.set_spacing_check(false);
    server
}

fn ours(server: &GistServer) -> Vec<String> {
    let names = server.files().into_keys();
    names
        .filter(|name| name.starts_with("events-") && !name.starts_with("events-20200101-"))
        .collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_gist_of_500_machines_takes_the_events_of_each_once_and_their_files_grow() {
    let server = shared_by(497);
    let worlds = [(); 3].map(|()| World::with_gist(&server));
    for _ in 0..3 {
        for world in &worlds {
            world.record_many(2);
            let report = world.flush(["--now"]);
            assert_eq!(report["sent"], 2, "{report}");
        }
    }
    assert_eq!(
        ours(&server).len(),
        worlds.len(),
        "one file for each machine"
    );
    let recorded = worlds.iter().flat_map(World::event_ids).collect();
    assert_eq!(sorted(server.event_ids_across_files()), sorted(recorded));
    assert_eq!(server.violations(), Vec::<String>::new());
    let receipt = worlds[0].rows()[0]["destination"].clone();
    assert_eq!(receipt, format!("gist:{}", server.gist_id()));
    let view = worlds[0].run(["view", "--json"]).ok();
    assert_eq!(view.json()["incomplete"], true, "{view}");
}

#[test]
fn in_a_crowded_gist_a_lost_answer_duplicates_nothing() {
    let server = shared_by(400);
    let world = World::with_gist(&server);
    for fault in [Fault::CutAfterCommit, Fault::conflict(true)] {
        world.record_many(2);
        server.plan(fault);
        world.flush(["--now"]);
        world.flush(["--now"]);
        assert_eq!(world.count("sent"), world.rows().len());
    }
    assert_eq!(ours(&server).len(), 1);
    assert_eq!(server.event_ids_across_files(), world.event_ids());
}

#[test]
fn copies_that_share_a_crowded_gist_use_separate_files_and_send_each_event_once() {
    let server = shared_by(400);
    let world = World::with_gist(&server);
    world.record_many(2);
    world.flush(["--now"]);
    world.record_many(2);
    let twin = World::with_gist(&server);
    copy(&world.home(), &twin.home());
    for _ in 0..2 {
        for one in [&world, &twin] {
            one.record();
            one.flush(["--now"]);
            assert_eq!(one.count("sent"), one.rows().len());
        }
    }
    let mut recorded: Vec<_> = [world.event_ids(), twin.event_ids()].concat();
    recorded.sort();
    recorded.dedup();
    assert_eq!(sorted(server.event_ids_across_files()), recorded);
}

#[test]
fn forget_finds_and_deletes_our_files_among_any_number() {
    let server = shared_by(400);
    let world = World::with_gist(&server);
    world.record_many(2);
    world.flush([]);
    assert_eq!(ours(&server).len(), 1);
    world.run(["forget", "--yes"]).ok();
    assert_eq!(ours(&server), Vec::<String>::new());
    assert_eq!(server.files().len(), 401);
}

#[test]
fn if_our_file_can_not_be_read_on_its_own_nothing_is_confirmed_and_the_error_says_what_to_do() {
    let server = shared_by(400);
    let world = World::with_gist(&server);
    world.record_many(1);
    server.set_raw_missing(true);
    let report = world.flush([]);
    assert_eq!(
        (report["outcome"].as_str(), report["sent"].as_u64()),
        (Some("failed"), Some(0))
    );
    let error = report["error"].as_str().expect("a reason");
    assert!(error.contains("more files than GitHub lists"), "{report}");
    assert!(error.contains("connect another Gist"), "{report}");
    server.set_raw_missing(false);
    assert_eq!(world.flush(["--now"])["sent"], 1);
    assert_eq!(server.event_ids_across_files(), world.event_ids());
}

#[test]
fn a_file_that_can_not_be_read_on_its_own_is_not_overwritten() {
    let server = shared_by(400);
    let world = World::with_gist(&server);
    world.record();
    world.flush([]);
    let twin = World::with_gist(&server);
    copy(&world.home(), &twin.home());
    twin.record();
    twin.flush(["--now"]);
    server.set_raw_missing(true);
    world.record();
    world.flush(["--now"]);
    server.set_raw_missing(false);
    world.flush(["--now"]);
    let mut recorded = [world.event_ids(), twin.event_ids()].concat();
    recorded.sort();
    recorded.dedup();
    assert_eq!(sorted(server.event_ids_across_files()), recorded);
}

#[test]
fn a_listed_file_whose_content_can_not_be_read_is_not_overwritten() {
    let server = GistServer::start();
    server.set_spacing_check(false);
    let world = World::with_gist(&server);
    world.record();
    world.flush([]);
    // It contains events of another copy and is too large to be in the answer.
    let [name] = ours(&server).try_into().expect("one file");
    let theirs = format!(
        "{}{}",
        server.files()[&name],
        "{\"event\":\"theirs\"}\n".repeat(60_000)
    );
    server.put_file(&name, &theirs);
    server.set_raw_missing(true);
    world.record();
    world.flush(["--now"]);
    assert_eq!(server.files()[&name], theirs);
    assert_eq!(world.count("sent"), 2);
}
