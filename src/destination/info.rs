//! How a kind of destination describes itself to people: the words that the command line, its help
//! and its hints are made of.

/// One kind of destination, in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KindInfo {
    /// The word for it: what `connect` takes.
    pub word: &'static str,
    /// Its name in a sentence, after "a" or "no".
    pub name: &'static str,
    /// What it is, for `connect`.
    pub help: &'static str,
    /// How one is written: `dir:PATH`.
    pub form: &'static str,
    /// How one is written for `view --from`, with what else that needs.
    pub source_form: &'static str,
    /// How to give the token that it needs for uploads; `None` where it needs none.
    pub token_hint: Option<&'static str>,
    /// `view --from WORD` asks for the configured one; this says how to configure one. `None` where
    /// the word alone may as well be the name of a file.
    pub configure_hint: Option<&'static str>,
    /// Examples of `connect`.
    pub connect_examples: &'static [&'static str],
    /// An example of `flush`.
    pub flush_example: Option<&'static str>,
    /// An example of `view`.
    pub view_example: Option<&'static str>,
    /// The environment variables that are its own.
    pub variables: &'static [Variable],
}

/// An environment variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Whether a flush reads it.
    pub for_flush: bool,
}
