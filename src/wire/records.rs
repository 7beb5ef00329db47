//! Versions of what is written to disk by itself.

use crate::model::change::Group;
use crate::wire_body;

wire_body! {
    Group = "log group", 1;
}
