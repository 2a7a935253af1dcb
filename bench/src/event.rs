//! One event of the bookstore as the JSON text of a message: orders, customers, books, and what is wrong with some of them.

use std::io::{self, Write};

use crate::random::Random;

/// How many keys there are, how fast time passes and how dirty the data is.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Decides every value.
    pub seed: u64,
    /// Time of event 0 in microseconds since 1970.
    pub start_us: i64,
    /// Time between two events.
    pub step_us: i64,
    /// Number of different customers.
    pub customers: u64,
    /// Number of different books.
    pub books: u64,
    /// Orders in 10,000 that break an expectation.
    pub bad_orders: u64,
    /// Adds missing customers, NULL quantities, changes of one moment and values that are no JSON, which a benchmark does not need.
    pub dirty: bool,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Orders,
    Customers,
    Books,
}

impl Topic {
    /// The name in the message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Customers => "customers",
            Self::Books => "books",
        }
    }
}

/// Countries of the look-up file; a few customers have a code that it lacks.
pub const COUNTRIES: [(&str, &str); 16] = [
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("BR", "Brazil"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("DE", "Germany"),
    ("ES", "Spain"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("GB", "United Kingdom"),
    ("IN", "India"),
    ("IT", "Italy"),
    ("JP", "Japan"),
    ("PT", "Portugal"),
    ("SE", "Sweden"),
    ("US", "United States"),
];

/// Some changes of a customer among so many events are of one customer and one moment. The number divides the sizes of files: ties lie in one.
const TIED: u64 = 50;
const DAY_US: i64 = 86_400_000_000;

/// Writes key and value of event `number` (the same for the same number) and says what it is about.
pub fn write(shape: &Shape, number: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<Topic> {
    let mut random = Random::new(shape.seed, number);
    let time_us = time_us(shape, number);
    match random.below(100) {
        0..70 => order(shape, number, time_us, &mut random, key, value).map(|()| Topic::Orders),
        70..95 => customer(shape, number, &mut random, key, value).map(|()| Topic::Customers),
        _ => book(shape, time_us, &mut random, key, value).map(|()| Topic::Books),
    }
}

/// The time of event `number`.
pub fn time_us(shape: &Shape, number: u64) -> i64 {
    shape.start_us + i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(shape.step_us)
}

fn order(shape: &Shape, number: u64, time_us: i64, random: &mut Random, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<()> {
    write!(key, "{number:012}")?;
    if shape.dirty && random.chance(10, 10_000) {
        return value.write_all(b"{\"order_id\": oops");
    }
    let (mut quantity, mut total) = (0, 0);
    let mut books = Vec::new();
    for position in 0..=random.below(3) {
        let book = random.below(shape.books);
        let (count, price) = (1 + random.below(3), price(shape, book));
        quantity += count;
        total += count * price;
        books.write_all(if position == 0 { b"" } else { b"," })?;
        write!(books, r#"{{"book_id":"B{book:02}","quantity":{count},"subtotal":{}}}"#, count * price)?;
    }
    let customer =
        if shape.dirty && random.chance(30, 10_000) { "null".to_string() } else { format!("\"C{:05}\"", random.below(shape.customers)) };
    let quantity = match random.below(10_000) {
        draw if shape.dirty && draw < 20 => "null".to_string(),
        draw if draw < shape.bad_orders + 20 && draw >= 20 => format!("{}", -((draw % 2) as i64)),
        _ => quantity.to_string(),
    };
    let time = Time(time_us).seconds();
    write!(
        value,
        r#"{{"order_id":"{number:012}","order_timestamp":"{time}","customer_id":{customer},"quantity":{quantity},"total":{total},"books":["#
    )?;
    value.write_all(&books)?;
    value.write_all(b"]}")
}

/// The list price of a book in whole units.
fn price(shape: &Shape, book: u64) -> u64 {
    5 + Random::new(shape.seed, book | 1 << 60).below(60)
}

fn customer(shape: &Shape, number: u64, random: &mut Random, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<()> {
    let (customer, time_us) = if shape.dirty && random.chance(1, 8) {
        let first = number - number % TIED;
        (first / TIED % shape.customers, time_us(shape, first))
    } else {
        (random.below(shape.customers), time_us(shape, number) - lateness(random))
    };
    write!(key, "C{customer:05}")?;
    let time = Time(time_us).iso();
    let status = match random.below(20) {
        0 => {
            let absent = r#""email":null,"first_name":null,"last_name":null,"gender":null,"street":null,"city":null,"country_code":null"#;
            return write!(value, r#"{{"customer_id":"C{customer:05}",{absent},"row_status":"delete","row_time":"{time}"}}"#);
        }
        1..8 => "insert",
        _ => "update",
    };
    write!(value, r#"{{"customer_id":"C{customer:05}""#)?;
    if !random.chance(1, 25) {
        write!(value, r#","email":"c{customer}@mail{}.example""#, random.below(50))?;
    }
    let gender = ["Female", "Male", "Other"][random.below(3) as usize];
    write!(value, r#","first_name":"First{}","last_name":"Last{}","gender":"{gender}""#, random.below(997), random.below(1009))?;
    if !random.chance(1, 25) {
        write!(value, r#","street":"{} Main Street""#, 1 + random.below(5000))?;
    }
    let code = if random.chance(1, 100) { "ZZ" } else { COUNTRIES[random.below(COUNTRIES.len() as u64) as usize].0 };
    write!(value, r#","city":"City{}","country_code":"{code}","row_status":"{status}","row_time":"{time}"}}"#, random.below(300))
}

fn book(shape: &Shape, time_us: i64, random: &mut Random, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<()> {
    let book = random.below(shape.books);
    write!(key, "B{book:02}")?;
    let list = price(shape, book);
    let price = match random.below(50) {
        0 => "-1".to_string(),
        1 => format!("{}", 150 + list),
        2..20 => format!("{list}.{:02}", random.below(100)),
        _ => list.to_string(),
    };
    let updated = if random.chance(1, 50) { time_us - 20 * 365 * DAY_US } else { time_us - lateness(random) };
    let id = if random.chance(1, 100) { "null".to_string() } else { format!("\"B{book:02}\"") };
    let updated = Time(updated).milliseconds();
    write!(value, r#"{{"book_id":{id},"title":"Title {book}","author":"Author {}","price":{price},"updated":"{updated}"}}"#, book % 200)
}

/// One change in a hundred comes up to a day late.
fn lateness(random: &mut Random) -> i64 {
    if random.chance(1, 100) { (1 + random.below(86_399) as i64) * 1_000_000 + 5_000 } else { 0 }
}

/// A UTC time in microseconds, to be written in the formats of the messages.
pub struct Time(pub i64);

impl Time {
    /// `2024-01-01 10:00:00`
    fn seconds(&self) -> String {
        let ((year, month, day), (hour, minute, second)) = self.fields();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    /// `2024-01-01 10:00:00.000`
    fn milliseconds(&self) -> String {
        format!("{}.{:03}", self.seconds(), self.0.rem_euclid(1_000_000) / 1000)
    }

    /// `2024-01-01T10:00:00.000Z`
    pub fn iso(&self) -> String {
        format!("{}Z", self.milliseconds().replacen(' ', "T", 1))
    }

    /// Year, month, day; hour, minute, second.
    pub fn fields(&self) -> ((i64, i64, i64), (i64, i64, i64)) {
        let second = self.0.div_euclid(1_000_000).rem_euclid(86_400);
        (civil_date(self.0.div_euclid(DAY_US)), (second / 3600, second / 60 % 60, second % 60))
    }
}

/// Year, month and day of a day counted from 1970-01-01, by eras of 400 years that begin in March.
fn civil_date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        assert_eq!(Time(0).seconds(), "1970-01-01 00:00:00");
        assert_eq!(Time(1_709_210_096_789_000).iso(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Time(951_868_799_000_000).milliseconds(), "2000-02-29 23:59:59.000");
        assert_eq!(Time(-1_000).milliseconds(), "1969-12-31 23:59:59.999");
    }
}
