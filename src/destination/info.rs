//! How a kind of destination describes itself: the texts for the command line, its help and its
//! hints.

/// The description of one kind of destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KindInfo {
    /// The word for it on the command line, as in `connect WORD`.
    pub word: &'static str,
    /// Its name in a sentence, to follow "a" or "no".
    pub name: &'static str,
    /// A description, for `connect`.
    pub help: &'static str,
    /// How to write one, such as `dir:PATH`.
    pub form: &'static str,
    /// How to write one for `view --from`, and what else that needs.
    pub source_form: &'static str,
    /// How to provide the token that uploads need; `None` if they need none.
    pub token_hint: Option<&'static str>,
    /// How to configure one, for an error of `view --from WORD`, which reads the configured one.
    /// `None` if the word alone could just as well be a file name.
    pub configure_hint: Option<&'static str>,
    /// Examples of `connect`.
    pub connect_examples: &'static [&'static str],
    /// An example of `flush`.
    pub flush_example: Option<&'static str>,
    /// An example of `view`.
    pub view_example: Option<&'static str>,
    /// Its own environment variables.
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
