//! The login/bootstrap server: accounts, certificates, seeds.
