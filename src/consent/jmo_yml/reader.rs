//! Turns the text of a YAML file into nodes, or into the reason why PyYAML would not load it.
//!
//! `granit-parser` follows YAML 1.2, but is as lenient about indentation as PyYAML, which follows
//! YAML 1.1. Everything that PyYAML refuses or reads differently is refused here: line breaks and
//! tabs of YAML 1.1, keys that span several lines, `?` inside flow collections, repeated anchors, a
//! second document, values that can't be constructed. These checks were found by comparing the two
//! on generated files.

use std::collections::HashSet;
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle, Tag, options};

use super::document::{Document, Kind, Node};
use super::{Place, Problem, scalar};

/// The deepest nesting that is accepted. PyYAML recurses and raises an exception at some depth; no
/// real configuration is nested this deeply.
const MAX_DEPTH: usize = 100;

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// # Errors
/// A [`Problem`] when PyYAML would raise an exception.
pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_characters(text)?;
    let mut reader = Reader::new(text);
    let options = options! {
        emit_anchor_events: true,
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            event.map_err(|error| syntax(place(error.marker()), "not valid YAML"))?;
        reader.take(event, &span)?;
    }
    reader.check_tabs()?;
    Document::new(reader.nodes)
}

/// Collects the parser's events.
struct Reader<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// The node of each anchor, by the parser's number for the anchor.
    anchors: Vec<usize>,
    names: HashSet<String>,
    documents: usize,
    /// The byte range of each scalar, and whether tabs in it are content. Kept only if the text has
    /// tabs.
    scalars: Option<Vec<(Range<usize>, bool)>>,
}

/// A collection whose end has not been reached.
struct Open {
    node: usize,
    style: StructureStyle,
    /// Whether the next node is a key of this mapping.
    wants_key: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            nodes: Vec::new(),
            open: Vec::new(),
            anchors: Vec::new(),
            names: HashSet::new(),
            documents: 0,
            scalars: text.contains('\t').then(Vec::new),
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let here = place(&span.start);
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd if self.documents > 0 => {}
            Event::StreamEnd | Event::DocumentStart(..) => self.check_start(span)?,
            Event::Anchor(number, name) => {
                self.check_name(span)?;
                self.anchor(number, &name, here)?;
            }
            Event::Alias(number) => {
                self.check_name(span)?;
                self.check_key(span)?;
                self.alias(number, here)?;
            }
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.check_key(span)?;
                if self.open.is_empty() && self.nodes.is_empty() && !plain {
                    // PyYAML ends a block scalar where a line is not indented, and then finds a
                    // second document. granit-parser reads all of it as text.
                    return Err(syntax(here, "a document that is a single text"));
                }
                if plain && self.in_flow() && (text.contains('?') || text.starts_with(':')) {
                    return Err(syntax(here, "an unquoted `?` or `:` in a flow collection"));
                }
                if let (Some(scalars), Some(bytes)) = (&mut self.scalars, span.byte_range()) {
                    // Only the range of an empty block scalar includes its header, where a tab is
                    // not content.
                    scalars.push((bytes, !plain && !text.is_empty()));
                }
                let scalar = scalar::meaning(&text, plain, self.core_tag(tag.as_deref(), span)?)
                    .ok_or_else(|| syntax(here, "a value that its type cannot have"))?;
                self.push(Kind::Scalar(scalar), here);
            }
            Event::SequenceStart(style, _, tag) => {
                self.start(Kind::Sequence, style, tag.as_deref(), span)?;
            }
            Event::MappingStart(style, _, tag) => {
                self.start(Kind::Mapping, style, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.nodes.len();
                if let Some(open) = self.open.pop() {
                    self.nodes[open.node].end = end;
                }
            }
            _ => return Err(syntax(here, "not valid YAML")),
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, place: Place) {
        if let Some(parent) = self.open.last_mut() {
            parent.wants_key = !parent.wants_key;
        }
        let end = self.nodes.len() + 1;
        self.nodes.push(Node { kind, place, end });
    }

    fn start(
        &mut self,
        kind: Kind,
        style: StructureStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), Problem> {
        let here = place(&span.start);
        let own = if kind == Kind::Mapping { "map" } else { "seq" };
        if self.core_tag(tag, span)?.is_some_and(|tag| tag != own) {
            return Err(syntax(here, "a tag that does not fit"));
        }
        let node = self.nodes.len();
        self.push(kind, here);
        self.nodes[node].end = 0;
        self.open.push(Open {
            node,
            style,
            wants_key: true,
        });
        Ok(())
    }

    /// Stores the anchor of the last node. The parser numbers anchors upwards from 1.
    fn anchor(&mut self, number: usize, name: &str, place: Place) -> Result<(), Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !name.bytes().all(allowed) {
            return Err(syntax(
                place,
                "an anchor with a character that PyYAML refuses",
            ));
        }
        let node = self.nodes.len() - 1;
        if self.in_flow() && self.nodes[node].place.line != place.line {
            return Err(syntax(place, "an anchor on a line of its own"));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(syntax(place, "an anchor that is already taken"));
        }
        self.anchors.resize(number + 1, usize::MAX);
        self.anchors[number] = node;
        Ok(())
    }

    fn alias(&mut self, number: usize, place: Place) -> Result<(), Problem> {
        match self.anchors.get(number) {
            Some(&target) if self.nodes.get(target).is_some_and(|node| node.end != 0) => {
                self.push(Kind::Alias(target), place);
                Ok(())
            }
            _ => Err(syntax(place, "an alias of what contains it")),
        }
    }

    /// Accepts a single document, with only comments and `%YAML` before it. `%TAG` could change the
    /// meaning of any tag.
    fn check_start(&mut self, span: &Span) -> Result<(), Problem> {
        let here = place(&span.start);
        self.documents += 1;
        if self.documents > 1 {
            return Err(syntax(here, "a second document"));
        }
        let harmless = |line: &str| {
            let line = line.trim_end_matches(' ');
            let code = line.trim_start_matches(' ');
            code.is_empty() || code.starts_with('#') || ["%YAML 1.1", "%YAML 1.2"].contains(&line)
        };
        let before = span
            .byte_range()
            .and_then(|bytes| self.text.get(..bytes.start));
        if before.is_some_and(|before| before.split(['\n', '\r']).all(harmless)) {
            Ok(())
        } else {
            Err(syntax(here, "a directive or an end before the document"))
        }
    }

    /// The part of a tag after `!!`. Tags outside YAML's core need a constructor, and
    /// `yaml.safe_load` lacks most of them. In YAML 1.1, brackets and commas are part of a tag.
    fn core_tag<'t>(&self, tag: Option<&'t Tag>, span: &Span) -> Result<Option<&'t str>, Problem> {
        let Some(tag) = tag else {
            return Ok(None);
        };
        let after = span.tag_span().map_or("", |tag| self.after(&tag));
        match tag.core_suffix() {
            Some(suffix) if after.is_empty() || after.starts_with(BLANK) => Ok(Some(suffix)),
            _ => Err(syntax(place(&span.start), "an unknown tag")),
        }
    }

    /// Checks what follows the name of an anchor or alias. PyYAML requires a space before a value.
    fn check_name(&self, span: &Span) -> Result<(), Problem> {
        let after = self.after(span);
        if after.is_empty() || after.starts_with(BLANK) || after.starts_with([',', ']', '}']) {
            Ok(())
        } else {
            Err(syntax(
                place(&span.start),
                "a name without a space after it",
            ))
        }
    }

    fn after(&self, span: &Span) -> &str {
        span.byte_range()
            .and_then(|bytes| self.text.get(bytes.end..))
            .unwrap_or_default()
    }

    fn in_flow(&self) -> bool {
        self.open
            .last()
            .is_some_and(|parent| parent.style == StructureStyle::Flow)
    }

    /// Checks a key of a mapping. In YAML 1.1 it is not empty and is on the same line as its colon.
    fn check_key(&self, span: &Span) -> Result<(), Problem> {
        let is_key = self.open.last().is_some_and(|parent| {
            parent.wants_key && self.nodes[parent.node].kind == Kind::Mapping
        });
        if !is_key {
            return Ok(());
        }
        let start = span.tag_start().unwrap_or(span.start);
        let is_cut = start.line() != span.end.line()
            || self
                .after(span)
                .trim_start_matches(' ')
                .starts_with(['\n', '\r', '#']);
        if span.is_empty() {
            Err(syntax(place(&span.start), "an entry without a key"))
        } else if self.in_flow() && is_cut {
            Err(syntax(place(&span.start), "a key of several lines"))
        } else {
            Ok(())
        }
    }

    /// PyYAML accepts tabs only in quoted and block scalars and in comments.
    fn check_tabs(&self) -> Result<(), Problem> {
        let mut scalars = self.scalars.iter().flatten().peekable();
        let mut gap = 0;
        let mut comment_end = 0;
        for (tab, _) in self.text.match_indices('\t') {
            while let Some((bytes, _)) = scalars.next_if(|(bytes, _)| bytes.end <= tab) {
                gap = bytes.end;
            }
            let in_scalar = scalars.peek().filter(|(bytes, _)| bytes.start <= tab);
            if tab < comment_end || in_scalar.is_some_and(|(_, content)| *content) {
                continue;
            }
            let line = self.text[..tab]
                .rfind(['\n', '\r'])
                .map_or(0, |end| end + 1);
            if in_scalar.is_some() || !self.text[line.max(gap)..tab].contains('#') {
                return Err(syntax(Place::after(&self.text[..tab]), "a tab"));
            }
            comment_end = self.text[tab..]
                .find(['\n', '\r'])
                .map_or(self.text.len(), |length| tab + length);
        }
        Ok(())
    }
}

/// Refuses the characters that PyYAML refuses, and those that end a line only in YAML 1.1: what
/// follows them could be a comment for one reader and a setting for the other.
fn check_characters(text: &str) -> Result<(), Problem> {
    let allowed = |character: char| match character {
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'.. => true,
        _ => false,
    };
    match text.find(|character| !allowed(character)) {
        None => Ok(()),
        Some(at) => Err(syntax(
            Place::after(&text[..at]),
            "a character that YAML refuses",
        )),
    }
}

fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(place: Place, what: &'static str) -> Problem {
    Problem::Syntax { place, what }
}
