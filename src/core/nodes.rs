//! Nodes and partitions in the state, and what is asked of all nodes so often that nobody may look at each.

use std::sync::Arc;

use super::state::{Cluster, Node, Touched};
use crate::model::ids::NodeId;
use crate::model::record::{NodeRecord, PartitionRecord};
use crate::model::resources::Resources;

impl Cluster {
    pub(super) fn absorb_node(&mut self, record: &NodeRecord, touched: &mut Touched) {
        touched.nodes.insert(record.id);
        touched.places |= !self.nodes.contains_key(&record.id);
        self.node_names.insert(record.name.as_str().into(), record.id);
        let is_other = self.has_other_hardware(record);
        let old = self.nodes.get(&record.id).cloned();
        self.totals.cpus += cpus(record);
        self.totals.cpus -= old.as_ref().map_or(0, |old| cpus(&old.record));
        if is_other && self.accounting.priority.fair_share > 0 {
            // What is held there counts otherwise.
            self.accounting.set_stale();
        }
        // Whose size counts, by the cpus of all.
        touched.places |= is_other && self.accounting.priority.size > 0;
        self.count_share(old.as_ref().map(|node| &*node.record), Some(record));
        let node = match old {
            Some(old) => Node { record: Arc::new(record.clone()), ..(*old).clone() },
            None => Node {
                record: Arc::new(record.clone()),
                allocated: Resources::default(),
                slots: 0,
                exclusive: false,
            },
        };
        self.nodes.insert(record.id, Arc::new(node));
    }

    /// Whether a node is known to have something else than that record says.
    pub(super) fn has_other_hardware(&self, record: &NodeRecord) -> bool {
        let resources = |record: &NodeRecord| record.hardware.as_ref().map(|hardware| hardware.resources);
        self.nodes.get(&record.id).is_some_and(|old| resources(&old.record) != resources(record))
    }

    pub(super) fn absorb_node_removed(&mut self, id: NodeId, touched: &mut Touched) {
        if let Some(node) = self.nodes.remove(&id) {
            self.totals.cpus -= cpus(&node.record);
            self.node_names.remove(node.record.name.as_str());
            self.count_share(Some(&node.record), None);
        }
        touched.nodes.insert(id);
        touched.places = true;
    }

    pub(super) fn absorb_partition(&mut self, record: &PartitionRecord, touched: &mut Touched) {
        let mut record = record.clone();
        if let Some(nodes) = &mut record.nodes {
            nodes.sort_unstable();
            nodes.dedup();
        }
        self.partitions.insert(record.name.as_str().into(), Arc::new(record));
        touched.places = true;
    }

    fn count_share(&mut self, old: Option<&NodeRecord>, new: Option<&NodeRecord>) {
        let (old, new) = (old.and_then(share), new.and_then(share));
        if old == new {
            return;
        }
        if let Some(old) = old {
            match self.shares.get(&old).copied().unwrap_or_default() {
                0 | 1 => self.shares.remove(&old),
                count => self.shares.insert(old, count - 1),
            };
        }
        if let Some(new) = new {
            *self.shares.entry(new).or_default() += 1;
        }
    }

    /// The least memory for each processor that any node has, in bytes; 0 while no node is known.
    pub fn least_share(&self) -> u64 {
        self.shares.get_min().map_or(0, |(share, _)| *share)
    }

    /// Whether any node has ever joined.
    pub fn knows_nodes(&self) -> bool {
        !self.shares.is_empty()
    }

    /// The nodes that some of these partitions have, or all of those named.
    pub fn candidates<'a>(
        &'a self,
        partitions: &'a [String],
        named: &'a [String],
    ) -> Box<dyn Iterator<Item = &'a Arc<Node>> + 'a> {
        let by_name = |name: &String| self.node_named(name);
        if !named.is_empty() {
            return Box::new(named.iter().filter_map(by_name));
        }
        let all: Vec<&PartitionRecord> =
            partitions.iter().filter_map(|name| self.partitions.get(name.as_str())).map(|p| &**p).collect();
        if all.iter().any(|partition| partition.nodes.is_none()) {
            return Box::new(self.nodes.values());
        }
        Box::new(all.into_iter().flat_map(|partition| partition.nodes.iter().flatten()).filter_map(by_name))
    }
}

fn cpus(record: &NodeRecord) -> u64 {
    record.hardware.as_ref().map_or(0, |hardware| u64::from(hardware.resources.cpus))
}

fn share(record: &NodeRecord) -> Option<u64> {
    let total = record.hardware.as_ref()?.resources;
    Some(total.memory_bytes / u64::from(total.cpus.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Hardware;

    fn node(id: u32, gib: u64) -> NodeRecord {
        let resources = Resources { cpus: 2, memory_bytes: gib << 31, tmp_bytes: 0 };
        let hardware = Hardware { resources, ..Hardware::default() };
        NodeRecord {
            hardware: Some(hardware),
            ..super::super::drain::new_node(NodeId(id), &format!("n{id}"))
        }
    }

    #[test]
    fn the_least_share_follows_the_nodes() {
        let (mut cluster, mut touched) = (Cluster::default(), Touched::default());
        assert_eq!((cluster.least_share(), cluster.knows_nodes()), (0, false));
        for (id, gib) in [(1, 4), (2, 2), (3, 2), (2, 8)] {
            cluster.absorb_node(&node(id, gib), &mut touched);
        }
        assert_eq!(cluster.least_share(), 2 << 30);
        cluster.absorb_node_removed(NodeId(3), &mut touched);
        assert_eq!(cluster.least_share(), 4 << 30);
        cluster.absorb_node_removed(NodeId(1), &mut touched);
        cluster.absorb_node_removed(NodeId(2), &mut touched);
        assert!(!cluster.knows_nodes());
    }

    #[test]
    fn a_partition_finds_its_nodes_whatever_order_they_were_named_in() {
        let mut cluster = Cluster::default();
        let names = ["n9", "n10", "n1", "n9"].map(str::to_owned).to_vec();
        let record = PartitionRecord { nodes: Some(names), ..super::super::node_act::new_partition("p") };
        cluster.absorb_partition(&record, &mut Touched::default());
        let partition = &cluster.partitions["p"];
        assert!(["n1", "n9", "n10"].iter().all(|name| partition.has(name)) && !partition.has("n2"));
    }
}
