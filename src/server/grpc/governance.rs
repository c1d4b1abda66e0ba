//! `GovernanceService`, for agents. It only converts between protobuf and the domain.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::request::{Reader, read_actor};
use super::{caller, deadline, response, standing};
use crate::domain::{CallError, JsonLimits};
use crate::governance::{BeforeWait, Governor, Hypothesis, MAX_EVALUATIONS, Propose};
use crate::proto::v1;
use crate::proto::v1::governance_service_server::GovernanceService;
use crate::server::receive::Load;
use crate::server::{access, trace};

/// The service for agents.
pub(crate) struct Governance {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// The size limits of an action.
    pub(crate) limits: JsonLimits,
}

#[tonic::async_trait]
impl GovernanceService for Governance {
    async fn propose(&self, request: Request<v1::ProposeRequest>) -> Result<Response<v1::ProposeResponse>, Status> {
        let standing = standing(&request)?.clone();
        let trace_id = trace::trace_id(request.metadata().as_ref());
        let deadline = deadline(&request);
        let load = request.extensions().get::<Load>().cloned();
        let v1::ProposeRequest { actor, action, context, idempotency_key, wait, confirmation_token } =
            request.into_inner();
        let mut reader = Reader::new(self.limits);
        let ask = Propose {
            proposal: reader.proposal(actor, action, context, trace_id),
            idempotency_key: Some(idempotency_key).filter(|key| !key.is_empty()),
            confirmation_token: Some(confirmation_token).filter(|token| !token.is_empty()),
            wait: deadline.bound(reader.wait("wait", wait)),
            before_wait: load.map(|load| BeforeWait(Arc::new(move || load.release()))),
        };
        let ask = reader.check(ask)?;
        let decision = if ask.wait.is_zero() {
            self.governor.propose(&standing.caller, ask).await?
        } else {
            standing.unless_over(self.governor.propose(&standing.caller, ask)).await?
        };
        trace::record_decision(&decision);
        Ok(Response::new(v1::ProposeResponse { decision: Some(response::decision(decision)) }))
    }

    async fn evaluate(&self, request: Request<v1::EvaluateRequest>) -> Result<Response<v1::EvaluateResponse>, Status> {
        let caller = caller(&request)?;
        let v1::EvaluateRequest { items, at, explain } = request.into_inner();
        if at.is_some() || explain {
            access::check_explains(&caller.identity)?;
        }
        let mut reader = Reader::new(self.limits);
        if items.is_empty() || items.len() > MAX_EVALUATIONS {
            reader.wrong("items", format!("{} items; between 1 and {MAX_EVALUATIONS}", items.len()));
        }
        let items = if items.len() > MAX_EVALUATIONS { Vec::new() } else { items };
        let at = at.and_then(|at| reader.timestamp("at", at));
        let hypotheses: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(i, item)| Hypothesis {
                actor: read_actor(item.actor),
                action: reader.action(format_args!("items[{i}].action"), item.action),
            })
            .collect();
        let hypotheses = reader.check(hypotheses)?;

        let evaluated = self.governor.evaluate(&caller, at);
        for hypothesis in hypotheses.iter() {
            evaluated.check_actor(hypothesis)?;
        }
        let verdicts = self.governor.verdicts(&evaluated, &hypotheses).await?;
        let evaluations = hypotheses.iter().zip(&verdicts).map(|(hypothesis, verdict)| {
            let mut evaluation = response::evaluation(verdict);
            if explain {
                response::explain(&mut evaluation, evaluated.explain(hypothesis));
            }
            evaluation
        });
        Ok(Response::new(v1::EvaluateResponse {
            evaluations: evaluations.collect(),
            policy_revision: evaluated.generation.policy.revision().to_string(),
        }))
    }

    async fn await_decision(
        &self,
        request: Request<v1::AwaitDecisionRequest>,
    ) -> Result<Response<v1::AwaitDecisionResponse>, Status> {
        let standing = standing(&request)?.clone();
        let deadline = deadline(&request);
        let v1::AwaitDecisionRequest { decision_id, wait } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let decision_id = reader.parsed("decision_id", &decision_id);
        let wait = deadline.bound(reader.wait("wait", wait));
        let Some(decision_id) = reader.finish(decision_id)? else { return Err(missing("decision_id")) };
        let decision = standing.unless_over(self.governor.await_decision(&standing.caller, decision_id, wait)).await?;
        trace::record_decision(&decision);
        Ok(Response::new(v1::AwaitDecisionResponse { decision: Some(response::decision(decision)) }))
    }

    async fn report_result(
        &self,
        request: Request<v1::ReportResultRequest>,
    ) -> Result<Response<v1::ReportResultResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ReportResultRequest { decision_id, result } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let decision_id = reader.parsed("decision_id", &decision_id);
        let report = reader.report(result);
        let report = reader.check_below("result", report)?;
        let Some(decision_id) = decision_id else { return Err(missing("decision_id")) };
        let record_id = self.governor.report(&caller, decision_id, report).await?;
        let audit_ref = record_id.map(|id| id.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ReportResultResponse { audit_ref }))
    }

    async fn cancel_proposal(
        &self,
        request: Request<v1::CancelProposalRequest>,
    ) -> Result<Response<v1::CancelProposalResponse>, Status> {
        let caller = caller(&request)?;
        let v1::CancelProposalRequest { decision_id, reason } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let decision_id = reader.parsed("decision_id", &decision_id);
        let reason = reader.free_text("reason", reason);
        let Some(decision_id) = reader.finish(decision_id)? else { return Err(missing("decision_id")) };
        let decision = self.governor.cancel(&caller, decision_id, reason).await?;
        Ok(Response::new(v1::CancelProposalResponse { decision: Some(response::decision(decision)) }))
    }
}

fn missing(field: &str) -> Status {
    CallError::invalid_field(field, "must be given").into()
}
