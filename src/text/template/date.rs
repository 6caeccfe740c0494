//! `strftime_now`: today's date as Python's `strftime` writes it, in UTC.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::Error;

use super::bounds::refused;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The time now in a format of Python's.
pub(super) fn now(format: &str) -> Result<String, Error> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    at(seconds, format)
}

fn at(seconds: u64, format: &str) -> Result<String, Error> {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let (mut year, mut day) = (1970, days);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let of_year = day;
    let mut month = 0;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let month_name = MONTHS.get(month).copied().unwrap_or_default();
    let day_name = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let written = match letters.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year % 100),
            Some('m') => write!(out, "{:02}", month + 1),
            Some('d') => write!(out, "{:02}", day + 1),
            Some('e') => write!(out, "{:2}", day + 1),
            Some('-') => match letters.next() {
                Some('d') => write!(out, "{}", day + 1),
                Some('m') => write!(out, "{}", month + 1),
                other => return Err(refused(&format!("asks for the date by %-{}", other.unwrap_or_default()))),
            },
            Some('B') => write!(out, "{month_name}"),
            Some('b' | 'h') => write!(out, "{}", &month_name[..3]),
            Some('A') => write!(out, "{day_name}"),
            Some('a') => write!(out, "{}", &day_name[..3]),
            Some('j') => write!(out, "{:03}", of_year + 1),
            Some('H') => write!(out, "{hour:02}"),
            Some('I') => write!(out, "{twelve:02}"),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{:02}", second % 60),
            Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('F') => write!(out, "{year}-{:02}-{:02}", month + 1, day + 1),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{:02}", second % 60),
            Some('%') => write!(out, "%"),
            other => return Err(refused(&format!("asks for the date by %{}", other.unwrap_or_default()))),
        };
        written.map_err(Error::from)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_written_as_python_writes_them() {
        // datetime.fromtimestamp(1709211845, UTC) and (1735689599, UTC)
        let format = "%Y-%m-%d %e %B %b %A %a %j %H:%M:%S %I %p %y %% %-d";
        assert_eq!(
            super::at(1_709_211_845, format).unwrap(),
            "2024-02-29 29 February Feb Thursday Thu 060 13:04:05 01 PM 24 % 29"
        );
        assert_eq!(
            super::at(1_735_689_599, format).unwrap(),
            "2024-12-31 31 December Dec Tuesday Tue 366 23:59:59 11 PM 24 % 31"
        );
        assert!(super::at(0, "%Q").unwrap_err().to_string().contains("%Q"));
    }
}
