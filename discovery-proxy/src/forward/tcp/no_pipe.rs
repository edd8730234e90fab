//! Without `splice(2)`, there are no pipes.

use std::{convert::Infallible, io};

use tokio::net::TcpStream;

use super::pump::BulkPipe;

#[derive(Debug)]
pub(super) struct Pipe(Infallible);

impl BulkPipe for Pipe {
    fn acquire() -> Option<Self> {
        None
    }

    fn release(self) {
        match self.0 {}
    }

    fn is_empty(&self) -> bool {
        match self.0 {}
    }

    fn fill(&mut self, _: &TcpStream) -> io::Result<usize> {
        match self.0 {}
    }

    fn drain(&mut self, _: &TcpStream) -> io::Result<usize> {
        match self.0 {}
    }
}
