//! Readers for members of foreign documents: `null` is the default value, and
//! whole numbers may be written as floating point.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// `null` is the default value.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A counter or size: negative and too large ones are cut to what fits.
pub(crate) fn unsigned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Whole).map(|number| {
        // Cannot be out of range after the clamp.
        u64::try_from(number.clamp(0, i128::from(u64::MAX))).unwrap_or_default()
    })
}

/// A whole number that may be negative.
pub(crate) fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Whole).map(|number| {
        i64::try_from(number.clamp(i128::from(i64::MIN), i128::from(i64::MAX))).unwrap_or_default()
    })
}

/// A whole number that may be missing.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Unsigned(#[serde(deserialize_with = "unsigned")] u64);
    Ok(Option::<Unsigned>::deserialize(deserializer)?.map(|Unsigned(number)| number))
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i128, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i128, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i128, E> {
        // Saturates, and NaN becomes 0.
        Ok(number as i128)
    }

    fn visit_unit<E: Error>(self) -> Result<i128, E> {
        Ok(0)
    }
}
