//! The whole exposition, as Prometheus reads it.
