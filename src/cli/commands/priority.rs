//! What the cluster's configuration says of priorities.

use super::account::{number, time, wrong};
use crate::cli::args::values::Setting;
use crate::cli::error::CliError;
use crate::model::priority::PriorityRecord;

/// Reads keys and values; what is not said is as in a new cluster.
///
/// # Errors
/// Keys and values that can't be (64).
pub(in crate::cli) fn priority_settings(given: &[Setting]) -> Result<PriorityRecord, CliError> {
    let mut record = PriorityRecord::default();
    for setting in given {
        let place = match setting.key.as_str() {
            "half-life" => {
                record.half_life = time(setting)?;
                continue;
            }
            key @ ("calc-period" | "max-age") => {
                let place = if key == "max-age" { &mut record.age_max } else { &mut record.period };
                *place = time(setting)?.ok_or_else(|| wrong(setting, "is no span of time"))?;
                continue;
            }
            "favor-small" => {
                record.favour_small = match setting.value.trim() {
                    "yes" | "true" => true,
                    "no" | "false" => false,
                    _ => return Err(wrong(setting, "is neither yes nor no")),
                };
                continue;
            }
            "weight-age" => &mut record.age,
            "weight-fair-share" => &mut record.fair_share,
            "weight-job-size" => &mut record.size,
            "weight-partition" => &mut record.partition,
            "weight-qos" => &mut record.qos,
            other => {
                let error = CliError::usage("unknown_key", format!("`{other}` can't be set")).option(other);
                return Err(error.hint(
                    "half-life, calc-period, max-age, weight-age, weight-fair-share, weight-job-size, weight-partition, weight-qos, favor-small",
                ));
            }
        };
        *place = number(setting)?.unwrap_or_default();
    }
    Ok(record)
}
