//! Rules of clusters, by the names of the specification.

mod redirects;
mod routing;
mod seeds;
mod servers;
mod topology;
mod world;
