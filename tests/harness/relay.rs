//! A UDP relay between clients and the controller: it drops, delays, cuts one way, and changes its ports, as bad networks
//! and laptops do.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How often a thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// A relay; it ends when it is dropped.
pub struct Relay {
    /// Where clients reach it.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    front: UdpSocket,
    to: SocketAddr,
    over: AtomicBool,
    silent: AtomicBool,
    deaf: AtomicBool,
    drop_one_in: AtomicU64,
    delay_ms: AtomicU64,
    passed: AtomicU64,
    clients: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Relay {
    /// Towards that address.
    pub fn to(address: SocketAddr) -> Relay {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        front.set_read_timeout(Some(LOOK)).unwrap();
        let shared = Arc::new(Shared {
            to: address,
            over: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            drop_one_in: AtomicU64::new(0),
            delay_ms: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            clients: Mutex::default(),
            front,
        });
        let relay = Relay { address: shared.front.local_addr().unwrap(), shared: shared.clone() };
        thread::spawn(move || forward(&shared));
        relay
    }

    /// The controller sees every client come from another port from now on.
    pub fn change_ports(&self) {
        self.shared.clients.lock().unwrap().clear();
    }

    /// Whether what the controller says is lost.
    pub fn cut_answers(&self, cut: bool) {
        self.shared.silent.store(cut, Ordering::Relaxed);
    }

    /// Whether what is said to the controller is lost.
    pub fn cut_questions(&self, cut: bool) {
        self.shared.deaf.store(cut, Ordering::Relaxed);
    }

    /// One packet in so many is lost; 0: none.
    pub fn drop_one_in(&self, packets: u64) {
        self.shared.drop_one_in.store(packets, Ordering::Relaxed);
    }

    /// Every packet is late by so much.
    pub fn delay(&self, by: Duration) {
        self.shared.delay_ms.store(by.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether this packet gets through, after its delay.
    fn passes(&self) -> bool {
        let number = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        let one_in = self.drop_one_in.load(Ordering::Relaxed);
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            thread::sleep(Duration::from_millis(delay));
        }
        one_in == 0 || !number.is_multiple_of(one_in)
    }
}

fn forward(shared: &Arc<Shared>) {
    let mut packet = [0; 65_536];
    while !shared.over() {
        let Ok((length, client)) = shared.front.recv_from(&mut packet) else { continue };
        let socket = {
            let mut clients = shared.clients.lock().unwrap();
            clients.entry(client).or_insert_with(|| connect(shared, client)).clone()
        };
        if !shared.deaf.load(Ordering::Relaxed) && shared.passes() {
            // A controller that is not there refuses it; that is no concern of a relay.
            let _ = socket.send(&packet[..length]);
        }
    }
}

fn connect(shared: &Arc<Shared>, client: SocketAddr) -> Arc<UdpSocket> {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    socket.connect(shared.to).unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    let (shared, own) = (shared.clone(), socket.clone());
    thread::spawn(move || {
        let mut packet = [0; 65_536];
        let current = || {
            let clients = shared.clients.lock().unwrap();
            clients.get(&client).is_some_and(|now| Arc::ptr_eq(now, &own))
        };
        // The lock is held while this is made: the first look comes after it.
        while !shared.over() {
            if let Ok(length) = own.recv(&mut packet)
                && current()
                && !shared.silent.load(Ordering::Relaxed)
                && shared.passes()
            {
                let _ = shared.front.send_to(&packet[..length], client);
            } else if !current() {
                return;
            }
        }
    });
    socket
}
