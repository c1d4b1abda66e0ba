//! The results as `JUnit` XML, which CI systems show.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::run::Results;
use crate::cli::failure::Failure;
use crate::domain::visible;

pub(super) fn xml(results: &Results) -> Result<String, Failure> {
    let mut report = Report::new("aegis test");
    for suite in &results.suites {
        let mut cases = TestSuite::new(visible(&suite.file).into_owned());
        for test in &suite.tests {
            let status = if test.passed() {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(visible(&test.difference()).into_owned());
                status
            };
            let mut case = TestCase::new(visible(&test.title()).into_owned(), status);
            case.set_classname(visible(&suite.file).into_owned());
            cases.add_test_case(case);
        }
        report.add_test_suite(cases);
    }
    report.to_string().map_err(|error| Failure::new(format!("cannot write JUnit: {error}")))
}
