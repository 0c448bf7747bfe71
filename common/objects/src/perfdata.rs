//! Performance data and threshold ranges, after the Monitoring Plugins
//! guidelines.
