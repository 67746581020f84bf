//! The meaning of a scalar, by the rules of YAML 1.1 as PyYAML's `SafeLoader` applies them.

/// What a scalar means for us, as a key or as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// The key `telemetry`.
    Telemetry,
    /// The key `enabled`. As a value, a word for yes.
    Enabled,
    /// The key `telemetry.enabled`, which people write although the scanner does not know it.
    TelemetryEnabled,
    /// A plain `<<`.
    Merge,
    /// A plain `=`, which PyYAML accepts as a key and refuses as a value.
    Default,
    Null,
    /// A false boolean, a zero, or a word for no.
    No,
    /// A true boolean.
    True,
    /// A one, or a word for yes.
    Yes,
    Other,
}

/// The longest number that is accepted. PyYAML's numbers overflow at some length; no real
/// configuration has one this long.
const MAX_NUMBER: usize = 300;

/// The meaning of a scalar with this core tag (`str` for `!!str`). `None` if PyYAML raises an
/// exception, or might.
pub(super) fn meaning(text: &str, plain: bool, tag: Option<&str>) -> Option<Scalar> {
    match tag {
        None if plain => implicit(text),
        None | Some("str") => Some(word(text)),
        Some("null") => Some(Scalar::Null),
        Some("bool") => boolean(&text.to_ascii_lowercase()),
        Some("int") => integer(text)?.filter(|_| text.len() <= MAX_NUMBER),
        Some("float") => float(text).filter(|_| text.len() <= MAX_NUMBER),
        Some(_) => None,
    }
}

fn implicit(text: &str) -> Option<Scalar> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Scalar::Null),
        "<<" => return Some(Scalar::Merge),
        "=" => return Some(Scalar::Default),
        _ => {}
    }
    if let Some(scalar) = boolean(text) {
        return Some(scalar);
    }
    if let Some(number) = integer(text).or_else(|| float(text).map(Some)) {
        return number.filter(|_| text.len() <= MAX_NUMBER);
    }
    match timestamp(text) {
        Some(true) => Some(Scalar::Other),
        Some(false) => None,
        None => Some(word(text)),
    }
}

/// The meaning of a string. PyYAML would treat any string as true, but for people these words are a
/// yes or a no.
fn word(text: &str) -> Scalar {
    match text {
        "telemetry" => return Scalar::Telemetry,
        "enabled" => return Scalar::Enabled,
        "telemetry.enabled" => return Scalar::TelemetryEnabled,
        _ => {}
    }
    let is = |word: &&str| text.trim().eq_ignore_ascii_case(word);
    if [
        "no", "off", "false", "n", "0", "never", "disabled", "disable", "none",
    ]
    .iter()
    .any(is)
    {
        Scalar::No
    } else if ["yes", "on", "true", "1", "enabled"].iter().any(is) {
        Scalar::Yes
    } else {
        Scalar::Other
    }
}

fn boolean(text: &str) -> Option<Scalar> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Scalar::True),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Scalar::No)
        }
        _ => None,
    }
}

/// An integer. `Some(None)` for one without digits, for which PyYAML raises an exception.
fn integer(text: &str) -> Option<Option<Scalar>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = if let Some(digits) = unsigned.strip_prefix("0b") {
        (!digits.is_empty() && all(digits, b"01_")).then_some(digits)
    } else if let Some(digits) = unsigned.strip_prefix("0x") {
        (!digits.is_empty() && all(digits, b"0123456789abcdefABCDEF_")).then_some(digits)
    } else if unsigned.starts_with('0') {
        all(unsigned, b"01234567_").then_some(unsigned)
    } else {
        let mut places = unsigned.split(':');
        (number(places.next()?) && places.all(sexagesimal)).then_some(unsigned)
    }?;
    let digits = digits.replace('_', "");
    Some(match digits.trim_start_matches('0') {
        _ if digits.is_empty() => None,
        "" => Some(Scalar::No),
        "1" if !text.starts_with('-') => Some(Scalar::Yes),
        _ => Some(Scalar::Other),
    })
}

fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_signed = unsigned.len() < text.len();
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(Scalar::Other),
        ".nan" | ".NaN" | ".NAN" if !is_signed => return Some(Scalar::Other),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let mut places = whole.split(':');
    let head = places.next()?;
    let fits = if whole.is_empty() {
        !is_signed && number(fraction)
    } else {
        let is_sexagesimal = whole.contains(':');
        number(head) && places.all(sexagesimal) && !(is_sexagesimal && exponent.is_some())
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or_default();
        !digits.is_empty() && all(digits, b"0123456789")
    });
    if !fits || !exponent_fits || !all(fraction, b"0123456789_") {
        return None;
    }
    let is_zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    Some(if is_zero { Scalar::No } else { Scalar::Other })
}

/// Whether a date or a time exists, if the text looks like one. PyYAML raises an exception for one
/// that does not exist.
fn timestamp(text: &str) -> Option<bool> {
    let mut rest = text;
    let year = digits(&mut rest, 4, 4)?;
    let mut day = |length: &mut usize| {
        rest = rest.strip_prefix('-')?;
        let before = rest.len();
        let number = digits(&mut rest, 1, 2)?;
        *length += before - rest.len();
        Some(number)
    };
    let mut length = 0;
    let (month, day) = (day(&mut length)?, day(&mut length)?);
    let date = year > 0 && (1..=days(year, month)).contains(&day);
    if rest.is_empty() {
        return (length == 4).then_some(date);
    }
    let blank = rest.trim_start_matches([' ', '\t']);
    rest = if blank.len() < rest.len() {
        blank
    } else {
        rest.strip_prefix(['T', 't'])?
    };
    let hour = digits(&mut rest, 1, 2)?;
    rest = rest.strip_prefix(':')?;
    let minute = digits(&mut rest, 2, 2)?;
    rest = rest.strip_prefix(':')?;
    let second = digits(&mut rest, 2, 2)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
    }
    let zone = zone(rest.trim_start_matches([' ', '\t']), rest.is_empty())?;
    Some(date && hour < 24 && minute < 60 && second < 60 && zone)
}

/// Whether the time zone at the end of a timestamp is valid: less than a day from UTC.
fn zone(text: &str, is_absent: bool) -> Option<bool> {
    if is_absent || text == "Z" {
        return Some(true);
    }
    let mut rest = text.strip_prefix(['-', '+'])?;
    let hours = digits(&mut rest, 1, 2)?;
    let minutes = match rest.strip_prefix(':') {
        Some(after) => {
            rest = after;
            digits(&mut rest, 2, 2)?
        }
        None => 0,
    };
    rest.is_empty().then_some(hours * 60 + minutes < 24 * 60)
}

fn days(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    }
}

/// Removes between `least` and `most` digits from the front.
fn digits(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let length = rest
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    let (number, after) = rest.split_at(length);
    *rest = after;
    number.parse().ok().filter(|_| length >= least)
}

/// `[0-9][0-9_]*`
fn number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && all(text, b"0123456789_")
}

/// `[0-5]?[0-9]`
fn sexagesimal(text: &str) -> bool {
    match text.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [b'0'..=b'5', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}

fn all(text: &str, allowed: &[u8]) -> bool {
    text.bytes().all(|byte| allowed.contains(&byte))
}
