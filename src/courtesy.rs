//! Requests outside of a flush (`connect`, `forget`) keep to the waits and the spacing that the server asks for, and
//! remember new waits.

use crate::answer::{self, Verdict};
use crate::clock;
use crate::home::Home;
use crate::spool::{Spool, SpoolError, lock_or_fail};
use crate::standing::{Due, Standing};
use crate::target::Target;
use crate::tend;
use crate::upload::{Destination, Reply};

/// Makes a request, unless the server has asked us to wait.
pub fn ask(
    home: &Home,
    destination: &mut dyn Destination,
    make: impl FnOnce(&mut dyn Destination) -> Reply,
) -> Reply {
    let target = destination.target().clone();
    // A spool that can't be read knows of no wait; that it can't be read is told elsewhere.
    let standing = standing(home, &target).unwrap_or_default();
    let now = clock::now();
    if let Due::Asked(until) = standing.due(now, "", true) {
        return Reply::Unproven {
            answer: None,
            error: format!(
                "it asked to be left alone until {}",
                until.format("%Y-%m-%dT%H:%M:%SZ")
            ),
        };
    }
    clock::sleep(standing.spacing_left(now, destination.spacing()));
    let reply = make(destination);
    if let Reply::Unproven {
        answer: Some(answer),
        ..
    } = &reply
        && let verdict @ Verdict::NotBefore(_) = answer::judge(answer, now)
    {
        // As above: the answer itself is what matters to the user.
        let _ = remember(home, &target, &standing.after(verdict, now, "", 0.0));
    }
    reply
}

fn standing(home: &Home, target: &Target) -> Result<Standing, SpoolError> {
    Ok(tend::look(home, |spool| spool.standing(target))?.unwrap_or_default())
}

fn remember(home: &Home, target: &Target, standing: &Standing) -> Result<(), SpoolError> {
    let lock = lock_or_fail(home)?;
    Spool::write(home, &lock, clock::now(), |writer| {
        writer.store_standing(target, standing)
    })
}
