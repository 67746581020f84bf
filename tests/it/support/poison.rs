//! Events that must never be stored as they are: valid ones in which any field, key or nested value
//! is replaced with words that a search can find. The sequence is always the same.

use serde_json::{Map, Value, json};

use super::world::lines;

/// The word to search for. Every poisoned value contains it, in upper or lower case.
pub(crate) const CANARY: &str = "canary";

/// A small random number generator, good enough to vary the poison (Knuth's MMIX).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    /// A word, path, URL, address, name, control sequence, something similar to a valid value, or
    /// 70 KB of it.
    pub(crate) fn word(&mut self) -> String {
        const WORDS: [&str; 24] = [
            "canary",
            "CANARY",
            "/home/canary/.ssh/id_rsa",
            "C:\\Users\\canary\\secret.txt",
            "https://canary.example.com/repo?token=canary",
            "git@canary.example.com:canary/canary.git",
            "canary@example.com",
            "AKIA-CANARY-0123456789",
            "\u{1b}]0;canary\u{7}\u{1b}[31mcanary\u{1b}[0m",
            "canary\r\nerror: canary\n",
            "canary\0canary",
            "\u{202e}yranac canary\u{202c}",
            "кanarienvogel-canary-\u{1f424}",
            "fast canary",
            "trivy;canary",
            "trivy\u{200b}canary",
            "1.0-canary",
            "1.0.0rc1canary",
            "3.11 (canary)",
            "3.canary",
            "<5min canary",
            "{\"event\":\"canary\"}",
            "'; DROP TABLE event; -- canary",
            "%s%n${CANARY}$(canary)`canary`",
        ];
        match self.roll(120) {
            0 => "Canary-".repeat(10_000),
            n => WORDS[n % WORDS.len()].to_owned(),
        }
    }

    /// A key that does not look like a name, because warnings may repeat plain lowercase words.
    fn key(&mut self) -> String {
        format!("{}{}", ["X", "/", " ", "-", "9"][self.roll(5)], self.word())
    }

    /// A value of any shape with poison in it.
    pub(crate) fn value(&mut self, depth: usize) -> Value {
        match (self.roll(6), depth) {
            (0, 1..) => (0..3).map(|_| self.value(depth - 1)).collect(),
            (1, 1..) => {
                let pair = |dice: &mut Self| (dice.key(), dice.value(depth - 1));
                Value::Object((0..3).map(|_| pair(self)).collect::<Map<_, _>>())
            }
            _ => self.word().into(),
        }
    }
}

/// The `n`-th line of a series for `record --stdin`: mostly an event that can be stored in clean
/// form.
pub(crate) fn line(n: usize, dice: &mut Dice) -> Vec<u8> {
    let good = lines(n % 6 + 1);
    let mut event: Value =
        serde_json::from_str(good.lines().last().expect("a line")).expect("JSON");
    for _ in 0..=dice.roll(3) {
        spoil(&mut event, dice);
    }
    let text = event.to_string();
    match dice.roll(40) {
        // Several kinds of lines that are not events.
        0 => text.as_bytes()[..text.len() * 2 / 3].to_vec(),
        1 => format!("{text} {}", json!(dice.word())).into_bytes(),
        2 => json!([dice.value(3), event]).to_string().into_bytes(),
        3 => [text.as_bytes(), b"\xff\xfecanary"].concat(),
        4 => {
            event["event"] = dice.value(2);
            event.to_string().into_bytes()
        }
        5 => {
            event["metadata"] = dice.value(3);
            event.to_string().into_bytes()
        }
        // The same field twice, poisoned and valid; the last one counts.
        6 => text
            .replacen(
                "\"metadata\":{",
                &format!("\"metadata\":{{\"profile\":{},", json!(dice.word())),
                1,
            )
            .into_bytes(),
        // The same word, escaped so that a search of the input would not find it.
        7 => text.replace("canary", "\\u0063anary").into_bytes(),
        _ => text.into_bytes(),
    }
}

/// Poisons one part of an event.
fn spoil(event: &mut Value, dice: &mut Dice) {
    let (key, word, value) = (dice.key(), dice.word(), dice.value(4));
    let kind = dice.roll(22);
    let metadata = &mut event["metadata"];
    let fields: Vec<String> = metadata
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .cloned()
        .collect();
    match kind {
        0 | 1 => metadata[key.as_str()] = value,
        2 => metadata["repo_path"] = value,
        3 => event[key.as_str()] = value,
        4 => event["version"] = word.into(),
        5 => event["python_version"] = word.into(),
        6 => {
            let name = ["anonymous_id", "event_id", "timestamp", "platform"][dice.roll(4)];
            event[name] = value;
        }
        7..=17 => {
            for field in ["profile", "profile_selected", "tool"] {
                if metadata.get(field).is_some() {
                    metadata[field] = word.clone().into();
                }
            }
            for field in ["tools", "policies", "output_formats"] {
                if let Some(list) = metadata.get_mut(field).and_then(Value::as_array_mut) {
                    list.push(word.clone().into());
                }
            }
        }
        18 => {
            if let Some(targets) = object(metadata, "target_types") {
                targets.insert(key, value);
            }
        }
        19 => {
            if let Some(targets) = object(metadata, "target_types") {
                targets.insert("host_names".to_owned(), value);
            }
        }
        // A field that needs the right type or word, so that the event is refused.
        _ => {
            if let Some(field) = fields.get(dice.roll(fields.len().max(1))) {
                metadata[field.as_str()] = value;
            }
        }
    }
}

fn object<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Map<String, Value>> {
    value.get_mut(name).and_then(Value::as_object_mut)
}
