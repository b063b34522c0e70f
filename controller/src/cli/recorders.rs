//! What `run` takes for recorders, with the environment variables that jibri-pod-controller had.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::Selector;

use crate::{
    jwt,
    validate::{Adoption, TokenRules},
};

/// Recorders: how they report, and those of somebody else's Deployments.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Recorders")]
pub struct Recorders {
    /// How recorders reach the webhooks of this controller. Without it by the Service
    /// roompin-controller of the namespace it runs in, at the port of --rest-listen. 'none': recorders do not report, they are only asked.
    #[arg(long, value_name = "URL", env = "ROOMPIN_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// A file with the RSA public key (PEM) of jibri's signed reports, if it signs them (jwt-info in jibri.conf).
    #[arg(long, value_name = "FILE", env = "ROOMPIN_WEBHOOK_JWT_KEY")]
    pub webhook_jwt_key: Option<PathBuf>,
    /// Audience of signed reports.
    #[arg(long, value_name = "AUDIENCE", env = "ROOMPIN_WEBHOOK_JWT_AUDIENCE", requires = "webhook_jwt_key")]
    pub webhook_jwt_audience: Option<String>,
    /// Issuer of signed reports.
    #[arg(long, value_name = "ISSUER", env = "ROOMPIN_WEBHOOK_JWT_ISSUER", requires = "webhook_jwt_key")]
    pub webhook_jwt_issuer: Option<String>,
    /// Look after recorders of Deployments too: a label selector that fits them while they are idle and while they record, such as
    /// 'app=jibri'. Needs --busy-labels.
    #[arg(long, value_name = "SELECTOR", env = "ROOMPIN_ADOPT_RECORDERS", requires = "busy_labels")]
    pub adopt_recorders: Option<String>,
    /// Labels of a recorder that records, as key=value,key=value. One of them must take it out of its Deployment's selector.
    #[arg(long, value_name = "LABELS", env = "JIBRI_BUSY_LABELS", requires = "adopt_recorders")]
    pub busy_labels: Option<String>,
    /// Port of the API of recorders of Deployments.
    #[arg(long, value_name = "PORT", env = "JIBRI_HEALTH_PORT", default_value_t = crate::media::recorder::PORT)]
    pub recorder_port: u16,
    /// How often recorders of Deployments are looked at, in seconds.
    #[arg(long, value_name = "SECONDS", env = "SWEEP_INTERVAL", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub sweep_interval: u64,
    /// Believe recorders of Deployments by their address alone, as jibri-pod-controller believed everybody.
    #[arg(long, env = "ROOMPIN_TRUST_ADDRESS", requires = "adopt_recorders")]
    pub trust_address: bool,
}

impl Recorders {
    /// What is to be adopted.
    ///
    /// # Errors
    /// When selector or labels cannot be read.
    pub fn adoption(&self) -> Result<Option<Adoption>, String> {
        let (Some(selector), Some(busy)) = (&self.adopt_recorders, &self.busy_labels) else { return Ok(None) };
        Ok(Some(Adoption {
            selector: parse_selector(selector).map_err(|error| format!("--adopt-recorders {selector}: {error}"))?,
            busy_labels: parse_labels(busy).map_err(|error| format!("--busy-labels {busy}: {error}"))?,
            port: self.recorder_port,
            interval: Duration::from_secs(self.sweep_interval),
            unauthenticated: self.trust_address,
        }))
    }

    /// Signed reports.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn tokens(&self) -> Result<Option<TokenRules>, String> {
        let Some(file) = &self.webhook_jwt_key else { return Ok(None) };
        let trouble = |error: &dyn std::fmt::Display| format!("--webhook-jwt-key {}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| trouble(&error))?;
        Ok(Some(TokenRules {
            keys: jwt::PublicKey::all_of(&text).map_err(|error| trouble(&error))?,
            rules: jwt::Rules {
                audiences: self.webhook_jwt_audience.iter().cloned().collect(),
                issuers: self.webhook_jwt_issuer.iter().cloned().collect(),
            },
        }))
    }

    /// Where recorders report. `None`: nowhere.
    #[must_use]
    pub fn url(&self, namespace: &str, port: u16) -> Option<String> {
        match self.webhook_url.as_deref() {
            Some("none") => None,
            Some(url) => Some(url.to_owned()),
            None => Some(format!("http://roompin-controller.{namespace}.svc:{port}")),
        }
    }
}

/// `k=v,k=v`, as jibri-pod-controller reads it.
fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("'{pair}' is not key=value")),
    });
    let labels: BTreeMap<_, _> = labels.collect::<Result<_, _>>()?;
    if labels.is_empty() { Err("there is none".to_owned()) } else { Ok(labels) }
}

/// `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, joined by commas.
fn parse_selector(text: &str) -> Result<Selector, String> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    let requirements =
        parts.map(str::trim).filter(|part| !part.is_empty()).map(requirement).collect::<Result<Vec<_>, _>>()?;
    if requirements.is_empty() {
        return Err("it selects everything; name a label".to_owned());
    }
    let selector = LabelSelector { match_expressions: Some(requirements), match_labels: None };
    Selector::try_from(selector).map_err(|error| error.to_string())
}

fn requirement(part: &str) -> Result<LabelSelectorRequirement, String> {
    let of = |key: &str, operator: &str, values: Option<Vec<&str>>| {
        let key = key.trim();
        let good = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        let values: Option<Vec<String>> = values.map(|all| all.into_iter().map(|one| one.trim().to_owned()).collect());
        if key.is_empty() || !good(key) || !values.iter().flatten().all(|value| good(value)) {
            return Err(format!("'{part}' cannot be read; write 'app=jibri' or 'state in (idle,busy)'"));
        }
        Ok(LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values })
    };
    let list = |text: &'static str| -> Option<(&str, Vec<&str>)> {
        let (key, rest) = part.split_once(text)?;
        let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some((key, inner.split(',').collect()))
    };
    if let Some((key, values)) = list(" notin ") {
        return of(key, "NotIn", Some(values));
    }
    if let Some((key, values)) = list(" in ") {
        return of(key, "In", Some(values));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return of(key, "NotIn", Some(vec![value]));
    }
    if let Some((key, value)) = part.split_once('=') {
        return of(key, "In", Some(vec![value.strip_prefix('=').unwrap_or(value)]));
    }
    match part.strip_prefix('!') {
        Some(key) => of(key, "DoesNotExist", None),
        None => of(part, "Exists", None),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::SelectorExt;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        parse_labels(text).unwrap()
    }

    #[test]
    fn labels_are_those_of_jibri_pod_controller() {
        assert_eq!(labels("state=busy, app=jibri").len(), 2);
        assert_eq!(labels("state=")["state"], "");
        for junk in ["", "state", "=busy", ","] {
            assert!(parse_labels(junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn selectors_are_those_of_kubectl() {
        let fits = |selector: &str, text: &str| parse_selector(selector).unwrap().matches(&labels(text));
        assert!(fits("app=jibri", "app=jibri,state=busy"));
        assert!(!fits("app==jibri", "app=other"));
        assert!(fits("app=jibri,state in (idle, busy)", "app=jibri,state=busy"));
        assert!(!fits("app=jibri,state notin (busy)", "app=jibri,state=busy"));
        assert!(fits("app,!x,state!=idle", "app=1,state=busy"));
        for junk in ["", " , ", "a b", "a in b", "=x", "app=a;b"] {
            assert!(parse_selector(junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn where_recorders_report() {
        let given = |url: Option<&str>| Recorders { webhook_url: url.map(str::to_owned), ..Recorders::default() };
        assert_eq!(given(None).url("meet", 9090).unwrap(), "http://roompin-controller.meet.svc:9090");
        assert_eq!(given(Some("http://x")).url("meet", 9090).unwrap(), "http://x");
        assert_eq!(given(Some("none")).url("meet", 9090), None);
    }
}
