//! The projects that benchmarks run: folders with a manifest and SQL files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const BRONZE: &str = "\
CREATE OR REFRESH STREAMING TABLE bronze
PARTITIONED BY (topic, year_month)
AS SELECT key, value, topic, partition, offset, CAST(r.timestamp / 1000 AS TIMESTAMP) AS timestamp,
          date_format(CAST(r.timestamp / 1000 AS TIMESTAMP), 'yyyy-MM') AS year_month
   FROM STREAM read_files('${landing}', format => 'json', schema =>
        'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT') AS r;
";

const SILVER: &str = "\
CREATE TEMPORARY VIEW orders_raw AS
SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
         quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
       FROM STREAM(bronze) WHERE topic = 'orders');

CREATE OR REFRESH STREAMING TABLE orders_silver (
  CONSTRAINT valid_quantity EXPECT (quantity > 0) ON VIOLATION DROP ROW,
  CONSTRAINT has_customer   EXPECT (customer_id IS NOT NULL)
) AS SELECT * FROM STREAM(orders_raw);
";

/// A project folder with a landing folder beside it.
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// Bronze, and silver if `with_silver`.
    pub fn bookstore(root: &Path, with_silver: bool) -> io::Result<Self> {
        let project = Self::empty(root)?;
        fs::write(root.join("transformations/1_bronze.sql"), BRONZE)?;
        if with_silver {
            fs::write(root.join("transformations/2_silver.sql"), SILVER)?;
        }
        Ok(project)
    }

    /// A table of customers that follows a feed of changes; `stored` is the clause of its type.
    pub fn changes(root: &Path, stored: &str, vectors: bool) -> io::Result<Self> {
        let project = Self::empty(root)?;
        let text = format!(
            "CREATE TEMPORARY VIEW changes AS SELECT * FROM STREAM read_files('${{landing}}', format => 'parquet', schema =>\n  \
             'id BIGINT, op STRING, seq BIGINT, name STRING, email STRING, city STRING, country STRING, amount DOUBLE');\n\
             CREATE OR REFRESH STREAMING TABLE customers TBLPROPERTIES ('delta.enableDeletionVectors' = '{vectors}');\n\
             CREATE FLOW customers_flow AS AUTO CDC INTO customers FROM STREAM(changes) KEYS (id) APPLY AS DELETE WHEN op = 'delete'\n  \
             SEQUENCE BY seq COLUMNS * EXCEPT (op, seq) {stored};\n"
        );
        fs::write(root.join("transformations/customers.sql"), text)?;
        Ok(project)
    }

    /// `datasets` datasets in chains of ten: a streaming table over files, then views, each over the one before.
    pub fn chains(root: &Path, datasets: u64) -> io::Result<Self> {
        let project = Self::empty(root)?;
        for chain in 0..datasets.div_ceil(10) {
            let first = chain * 10;
            let mut text = format!(
                "CREATE OR REFRESH STREAMING TABLE t{first} AS SELECT id FROM STREAM read_files('${{landing}}', format => 'json', schema => 'id BIGINT');\n"
            );
            for number in first + 1..(first + 10).min(datasets) {
                let view = format!("CREATE OR REFRESH MATERIALIZED VIEW t{number} AS SELECT id + 1 AS id FROM t{};\n", number - 1);
                text.push_str(&view);
            }
            fs::write(root.join(format!("transformations/chain_{chain:04}.sql")), text)?;
        }
        fs::write(project.landing().join("ids.json"), "{\"id\":1}\n{\"id\":2}\n")?;
        Ok(project)
    }

    fn empty(root: &Path) -> io::Result<Self> {
        let project = Self { root: root.to_path_buf() };
        fs::create_dir_all(root.join("transformations"))?;
        fs::create_dir_all(project.landing())?;
        let manifest = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: bench}\nspec:\n  schema: bench\n  configuration: {landing: data}\n";
        fs::write(root.join("pipeline.yaml"), manifest)?;
        Ok(project)
    }

    /// The folder of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where its files land.
    pub fn landing(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Moves all files of a staged batch into the landing folder.
    pub fn land(&self, batch: &Path) -> io::Result<()> {
        for entry in fs::read_dir(batch)? {
            let entry = entry?;
            fs::rename(entry.path(), self.landing().join(entry.file_name()))?;
        }
        Ok(())
    }
}
