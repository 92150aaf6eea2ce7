pub mod capture;
pub mod offline;
pub mod venue;
