#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jmo_telemetry::fuzzing::record_line(data));
