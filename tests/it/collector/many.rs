//! Many machines, a bad network, and a service that is killed: in the end every event is there once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{connected, holds};
use crate::support::collector::{Collector, Fault, Proxy};
use crate::support::world::World;

const HOMES: usize = 20;

/// Everything that a network and a busy service can do to a request.
const WEATHER: [Option<Fault>; 12] = [
    Some(Fault::CutAfterCommit),
    None,
    Some(Fault::Status(503, Some(1))),
    Some(Fault::ResetAfterCommit),
    None,
    Some(Fault::WrongHash),
    Some(Fault::Status(429, Some(1))),
    Some(Fault::CutBeforeCommit),
    None,
    Some(Fault::AnotherBatch),
    Some(Fault::Portal),
    Some(Fault::HalfAnswer),
];

/// Flushes until nothing is waiting any more.
fn deliver(world: &World) {
    for _ in 0..600 {
        world.flush(["--now"]);
        if world.count("sent") == world.rows().len() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("something is still waiting: {}", world.status());
}

#[test]
fn twenty_homes_lose_and_double_nothing_while_the_network_fails_and_the_service_is_killed() {
    let Some(mut collector) = Collector::start() else {
        return;
    };
    let proxy = Proxy::before(&collector);
    let worlds: Vec<_> = (0..HOMES).map(|_| connected(&proxy.url())).collect();
    proxy.plan(
        (0..8)
            .flat_map(|_| WEATHER)
            .map(|fault| fault.unwrap_or(Fault::None)),
    );
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for world in &worlds {
            scope.spawn(|| {
                for round in 0..3 {
                    world.record_many(7 + round);
                    world.flush(["--now"]);
                }
            });
        }
        scope.spawn(|| {
            // Meanwhile, the service is killed twice.
            for _ in 0..2 {
                while proxy.seen().len() < 30 {
                    std::thread::yield_now();
                }
                collector.kill();
                collector.restart();
            }
            stopped.store(true, Ordering::Relaxed);
        });
    });
    assert!(stopped.into_inner());
    for world in &worlds {
        deliver(world);
        world.check();
        assert_eq!(world.count("held"), 0);
    }
    let recorded: Vec<_> = worlds.iter().flat_map(World::payloads).collect();
    assert_eq!(recorded.len(), HOMES * (7 + 8 + 9));
    holds(&collector, &recorded);
    assert_eq!(collector.stats()["unique_ids"], json!(HOMES));
}
