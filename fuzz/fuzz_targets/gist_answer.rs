#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jmo_telemetry::fuzzing::gist_answer(data));
