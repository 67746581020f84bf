//! Measures the parts of the library: `cargo bench --bench library`.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;

use jmo_telemetry::destination::Target;
use jmo_telemetry::destination::segment::sha256;
use jmo_telemetry::destination::verdict::{self, HttpAnswer};
use jmo_telemetry::event::{Draft, Payload, Stamp, event_id};
use jmo_telemetry::home::Home;
use jmo_telemetry::spool::{self, Caller, Filter, Spool, SpoolError};

const LINE: &[u8] = br#"{"event":"scan.started","version":"1.0.2","python_version":"3.11","metadata":{"mode":"cli","profile":"balanced","tools":["trivy","semgrep"],"target_types":{"repos":3,"images":1}}}"#;

/// The number of rows in the spool that is packed and listed.
const ROWS: usize = 100_000;

fn now() -> DateTime<Utc> {
    "2026-11-22T10:00:00Z".parse().expect("a time")
}

fn draft() -> Draft {
    Draft::from_json(LINE).expect("an event").draft
}

fn stamp(n: u128) -> Stamp {
    Stamp {
        anonymous_id: Uuid::nil(),
        at: now(),
        frequency: None,
        event_id: event_id(now(), n.to_be_bytes()[6..].try_into().expect("10 bytes")),
    }
}

fn payload(n: u128) -> Payload {
    Payload::new(draft(), &stamp(n))
}

fn payloads(count: usize) -> Vec<Payload> {
    (0..count as u128).map(payload).collect()
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("read a line", |b| {
        b.iter(|| Draft::from_json(black_box(LINE)))
    });
    let stamp = stamp(7);
    group.bench_function("write a payload", |b| {
        b.iter_batched(
            draft,
            |draft| Payload::new(draft, &stamp),
            BatchSize::SmallInput,
        );
    });
    let own = payload(7);
    group.bench_function("reread a payload", |b| {
        b.iter(|| Payload::reread(black_box(own.as_str())))
    });
    group.finish();
}

fn classify(c: &mut Criterion) {
    let limited = HttpAnswer {
        status: 403,
        retry_after: verdict::retry_after("Sun, 22 Nov 2026 10:01:00 GMT", now()),
        remaining: Some(0),
        reset: Some(now()),
        secondary: true,
    };
    c.bench_function("classify an answer", |b| {
        b.iter(|| verdict::judge(black_box(&limited), now()));
    });
}

fn append(c: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let home = Home::at(scratch.path().join("home"));
    let mut group = c.benchmark_group("append");
    for count in [1, 1_000] {
        let batch = payloads(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count}, with opening"), |b| {
            b.iter(|| {
                Spool::write(&home, Caller::record(), |writer| writer.append(&batch))
                    .expect("appends")
            });
        });
    }
    group.finish();
}

fn pack_and_list(c: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let home = Home::at(scratch.path().join("home"));
    for batch in payloads(ROWS).chunks(2_500) {
        Spool::write(&home, Caller::record(), |writer| writer.append(batch)).expect("appends");
    }
    let target = Target::dir("/out");

    let mut group = c.benchmark_group("pack");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("10,000 events into segments", |b| {
        b.iter(|| {
            Spool::write(&home, Caller::Command, |writer| {
                writer.preview(Some(&target), 10_000)
            })
            .expect("packs")
        });
    });
    let content = "x".repeat(512 * 1024);
    group.throughput(Throughput::Bytes(content.len() as u64));
    group.bench_function("hash a segment", |b| {
        b.iter(|| sha256(black_box(content.as_bytes())))
    });
    group.finish();

    let mut group = c.benchmark_group("list");
    let page = Filter {
        limit: Some(50),
        ..Filter::default()
    };
    group.bench_function("a page", |b| {
        b.iter(|| {
            let mut rows = 0;
            spool::list(&home, &page, |_| {
                rows += 1;
                Ok::<_, SpoolError>(())
            })
            .expect("reads");
            rows
        });
    });
    group.bench_function("stats", |b| {
        b.iter(|| Spool::read(&home, Spool::stats).expect("reads"));
    });
    group.finish();
}

criterion_group!(benches, encode, classify, append, pack_and_list);
criterion_main!(benches);
