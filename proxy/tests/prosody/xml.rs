//! Stanzas as small owned trees.

use anyhow::Context as _;

/// One element, by local names: the few stanzas that tests read are told apart without namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// Local name.
    pub(crate) name: String,
    /// Child elements.
    pub(crate) children: Vec<Element>,
    /// Text directly inside.
    pub(crate) text: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// Parses one whole document, such as an RFC 7395 frame or a BOSH body.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let document = roxmltree::Document::parse(text).with_context(|| format!("not XML: {text}"))?;
        Ok(Self::from_node(document.root_element()))
    }

    fn from_node(node: roxmltree::Node<'_, '_>) -> Self {
        Self {
            name: node.tag_name().name().to_owned(),
            children: node.children().filter(roxmltree::Node::is_element).map(Self::from_node).collect(),
            text: node.children().filter_map(|child| child.is_text().then(|| child.text()).flatten()).collect(),
            attributes: node.attributes().map(|a| (a.name().to_owned(), a.value().to_owned())).collect(),
        }
    }

    /// An attribute by local name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// Text for use inside an attribute or an element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;").replace('"', "&quot;")
}
