//! What a template may use up: instructions, bytes of text, depth of values, and at last time. A template is part
//! of a downloaded model; see docs/decisions/chat-template-fuel.md.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::value::{Object, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Instructions of one rendering. Some hundred go into a turn.
pub(super) const MAX_INSTRUCTIONS: u64 = 4_000_000;
/// Bytes of all strings that one rendering makes, and so a bound on what it holds.
pub(super) const MAX_TEXT_BYTES: usize = 256 << 20;
/// Bytes of a template's source.
pub(super) const MAX_SOURCE_BYTES: usize = 1 << 18;
/// How deep lists and mappings may lie in each other.
const MAX_DEPTH: usize = 64;
/// For what the other bounds let through; no honest template comes near it.
const MAX_TIME: Duration = Duration::from_secs(10);
/// What an element of a list counts for, in bytes.
const ELEMENT_BYTES: usize = 32;

/// The name of the filter that the rewritten source calls on each value that is kept.
pub(super) const HELD_FILTER: &str = "held_";

/// What is left of the bounds of one rendering.
#[derive(Debug)]
struct Meter {
    bytes: AtomicUsize,
    end: Instant,
}

impl Object for Meter {}

pub(super) fn refused(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the template {problem}"))
}

/// Counts bytes that are about to be made.
pub(super) fn spend(state: &State, bytes: usize) -> Result<(), Error> {
    let start = || Meter { bytes: AtomicUsize::new(MAX_TEXT_BYTES), end: Instant::now() + MAX_TIME };
    let meter: Arc<Meter> = state.get_or_set_temp_object("meter", start);
    if Instant::now() > meter.end {
        return Err(refused("takes too long"));
    }
    let left = meter.bytes.load(Ordering::Relaxed);
    match left.checked_sub(bytes) {
        Some(rest) => meter.bytes.store(rest, Ordering::Relaxed),
        None => return Err(refused(&format!("makes more than {MAX_TEXT_BYTES} bytes of text"))),
    }
    Ok(())
}

/// Counts a value with everything in it, and refuses what lies too deep.
pub(super) fn held(state: &State, value: Value) -> Result<Value, Error> {
    weigh(state, &value)?;
    Ok(value)
}

pub(super) fn weigh(state: &State, value: &Value) -> Result<(), Error> {
    let mut open = vec![(value.clone(), 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(refused("puts lists or mappings too deep into each other"));
        }
        match value.kind() {
            ValueKind::String => spend(state, ELEMENT_BYTES + value.as_str().map_or(0, str::len))?,
            kind @ (ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) => {
                // First by its length, which a lazy sequence has without its elements.
                spend(
                    state,
                    ELEMENT_BYTES * value.len().unwrap_or(0).saturating_add(1).min(usize::MAX / ELEMENT_BYTES),
                )?;
                for item in value.try_iter()? {
                    spend(state, ELEMENT_BYTES)?;
                    if kind == ValueKind::Map {
                        open.push((value.get_item(&item)?, depth + 1));
                    }
                    open.push((item, depth + 1));
                }
            }
            _ => spend(state, 1)?,
        }
    }
    Ok(())
}

/// The source with [`HELD_FILTER`] on every sum, product, concatenation, comparison, list, mapping and assigned value, and
/// with no operation left that could be carried out while compiling; the longest piece of plain text, in bytes,
/// where text can be captured.
pub(super) fn rewritten(source: &str, root: &Stmt, tokens: Vec<usize>) -> Result<(String, Option<usize>), Error> {
    let mut walk = Walk { source, tokens, marks: Vec::new(), longest: 0, captures: false, reads_others: false };
    walk.statement(root);
    if walk.reads_others {
        return Err(refused("names other templates; it stands alone"));
    }
    // At one place, what closes comes before what opens, the inner before the outer; and the outer opens first.
    walk.marks.sort_by_key(|&(at, opens, order, _)| (at, opens, if opens { order } else { usize::MAX - order }));
    let mut out = String::with_capacity(source.len() + 16 * walk.marks.len());
    let mut copied = 0;
    for (at, _, _, text) in walk.marks {
        out.push_str(source.get(copied..at).unwrap_or_default());
        out.push_str(&text);
        copied = at;
    }
    out.push_str(source.get(copied..).unwrap_or_default());
    Ok((out, walk.captures.then_some(walk.longest)))
}

struct Walk<'s> {
    source: &'s str,
    /// Where tokens begin.
    tokens: Vec<usize>,
    /// Where, whether it opens, in which order it was met, and what to put there.
    marks: Vec<(usize, bool, usize, String)>,
    longest: usize,
    captures: bool,
    reads_others: bool,
}

impl Walk<'_> {
    fn hold(&mut self, start: usize, end: usize) {
        let order = self.marks.len();
        self.marks.push((start, true, order, "(".to_owned()));
        self.marks.push((end, false, order, format!(")|{HELD_FILTER}")));
    }

    /// Holds what an attribute, an index or a call may follow.
    fn hold_literal(&mut self, start: usize, end: usize) {
        let order = self.marks.len();
        self.marks.push((start, true, order, "((".to_owned()));
        self.marks.push((end, false, order, format!(")|{HELD_FILTER})")));
    }

    /// Where a comparison begins: the parser gives it the place of the token before it.
    fn after(&self, token: usize) -> usize {
        let next = self.tokens.partition_point(|&start| start <= token);
        self.tokens.get(next).copied().unwrap_or(token)
    }

    fn statements(&mut self, all: &[Stmt]) {
        all.iter().for_each(|statement| self.statement(statement));
    }

    fn captured(&mut self, body: &[Stmt]) {
        self.captures = true;
        self.statements(body);
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Template(node) => self.statements(&node.children),
            Stmt::EmitExpr(node) => self.expression(&node.expr),
            Stmt::EmitRaw(node) => self.longest = self.longest.max(node.raw.len()),
            Stmt::ForLoop(node) => {
                self.captures |= node.recursive;
                self.expression(&node.iter);
                node.filter_expr.iter().for_each(|only| self.expression(only));
                self.statements(&node.body);
                self.statements(&node.else_body);
            }
            Stmt::IfCond(node) => {
                self.expression(&node.expr);
                self.statements(&node.true_body);
                self.statements(&node.false_body);
            }
            Stmt::WithBlock(node) => {
                node.assignments.iter().for_each(|(_, value)| self.expression(value));
                self.statements(&node.body);
            }
            Stmt::Set(node) => {
                let start = node.target.span().end_offset as usize;
                let equals = self.source.get(start..).and_then(|rest| rest.find('='));
                if let Some(equals) = equals {
                    self.hold(start + equals + 1, node.span().end_offset as usize);
                }
                self.expression(&node.expr);
            }
            Stmt::SetBlock(node) => {
                node.filter.iter().for_each(|filter| self.expression(filter));
                self.captured(&node.body);
            }
            Stmt::AutoEscape(node) => self.statements(&node.body),
            Stmt::FilterBlock(node) => {
                self.expression(&node.filter);
                self.captured(&node.body);
            }
            Stmt::Macro(node) => {
                node.defaults.iter().for_each(|value| self.expression(value));
                self.captured(&node.body);
            }
            Stmt::CallBlock(node) => {
                self.arguments(&node.call.args);
                node.macro_decl.defaults.iter().for_each(|value| self.expression(value));
                self.captured(&node.macro_decl.body);
            }
            Stmt::Do(node) => self.arguments(&node.call.args),
            Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::Block(node) => self.captured(&node.body),
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) | Stmt::Include(_) => self.reads_others = true,
        }
    }

    fn arguments(&mut self, arguments: &[CallArg]) {
        for argument in arguments {
            let (CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value)) = argument;
            self.expression(value);
        }
    }

    fn expression(&mut self, expression: &Expr) {
        let span = expression.span();
        let (start, end) = (span.start_offset as usize, span.end_offset as usize);
        match expression {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(node) => {
                self.expression(&node.expr);
                [&node.start, &node.stop, &node.step].into_iter().flatten().for_each(|part| self.expression(part));
            }
            Expr::UnaryOp(node) => self.expression(&node.expr),
            Expr::BinOp(node) => {
                self.operation(node.op, start, end);
                for side in [&node.left, &node.right] {
                    self.operand(side);
                }
            }
            Expr::Compare(node) => {
                self.hold(self.after(start), end);
                self.operand(&node.expr);
                node.ops.iter().for_each(|operation| self.operand(&operation.expr));
            }
            Expr::IfExpr(node) => {
                [&node.test_expr, &node.true_expr].into_iter().for_each(|part| self.expression(part));
                node.false_expr.iter().for_each(|part| self.expression(part));
            }
            Expr::Filter(node) => {
                node.expr.iter().for_each(|part| self.expression(part));
                self.arguments(&node.args);
            }
            Expr::Test(node) => {
                self.expression(&node.expr);
                self.arguments(&node.args);
            }
            Expr::GetAttr(node) => self.expression(&node.expr),
            Expr::GetItem(node) => {
                self.expression(&node.expr);
                self.expression(&node.subscript_expr);
            }
            Expr::Call(node) => {
                self.expression(&node.expr);
                self.arguments(&node.args);
            }
            Expr::List(node) => {
                if self.source.get(start..).is_some_and(|rest| rest.starts_with(['[', '('])) {
                    self.hold_literal(start, end);
                }
                node.items.iter().for_each(|item| self.expression(item));
            }
            Expr::Map(node) => {
                self.hold_literal(start, end);
                node.keys.iter().chain(&node.values).for_each(|item| self.expression(item));
            }
        }
    }

    /// What an operation between two values makes, in the source from `start` to `end`.
    fn operation(&mut self, operation: BinOpKind, start: usize, end: usize) {
        match operation {
            BinOpKind::ScAnd | BinOpKind::ScOr => {}
            BinOpKind::Add
            | BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow
            | BinOpKind::Concat => self.hold(start, end),
            _ => self.hold(self.after(start), end),
        }
    }

    /// A side of an operation; a literal text is held, so that the operation waits for the rendering.
    fn operand(&mut self, expression: &Expr) {
        match expression {
            Expr::Const(node) if node.value.as_str().is_some() => {
                let span = expression.span();
                self.hold(span.start_offset as usize, span.end_offset as usize);
            }
            other => self.expression(other),
        }
    }
}
