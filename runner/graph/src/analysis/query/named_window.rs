//! Windows with a name: `OVER w` and `WINDOW w AS (…)`.

use sqlparser::{
    ast::{self, NamedWindowExpr},
    tokenizer::Span,
};

use super::{Planned, Planner};

impl Planner<'_> {
    /// Notes what the WINDOW clause of a SELECT names; each may build on those before it.
    pub fn name_windows(&mut self, definitions: &[ast::NamedWindowDefinition]) -> Planned<()> {
        for ast::NamedWindowDefinition(name, window) in definitions {
            let window = match window {
                NamedWindowExpr::NamedWindow(other) => self.named_window(other)?,
                NamedWindowExpr::WindowSpec(spec) => self.whole_window(spec, name.span)?,
            };
            if self.local.named_windows.insert(name.value.to_lowercase(), window).is_some() {
                return self.error("REPETITIVE_WINDOW_DEFINITION", format!("the window {name} is defined twice"), name.span);
            }
        }
        Ok(())
    }

    /// The window behind OVER, with what it takes from a named one.
    pub fn window_of(&self, over: &ast::WindowType, span: Span) -> Planned<ast::WindowSpec> {
        match over {
            ast::WindowType::NamedWindow(name) => self.named_window(name),
            ast::WindowType::WindowSpec(spec) => self.whole_window(spec, span),
        }
    }

    fn named_window(&self, name: &ast::Ident) -> Planned<ast::WindowSpec> {
        if let Some(window) = self.local.named_windows.get(&name.value.to_lowercase()) {
            return Ok(window.clone());
        }
        let message = format!("there is no window {name} in a WINDOW clause of this SELECT");
        self.error("MISSING_WINDOW_SPECIFICATION", message, name.span)
    }

    /// `(w ORDER BY …)`: the partitions of `w`, and its order and frame where none are given.
    fn whole_window(&self, spec: &ast::WindowSpec, span: Span) -> Planned<ast::WindowSpec> {
        let Some(name) = &spec.window_name else { return Ok(spec.clone()) };
        let base = self.named_window(name)?;
        if !spec.partition_by.is_empty() || (!spec.order_by.is_empty() && !base.order_by.is_empty()) {
            let message = format!("a window that builds on {name} can add an order or a frame, but not change what {name} says");
            return self.error("REPETITIVE_WINDOW_DEFINITION", message, span);
        }
        let order_by = if spec.order_by.is_empty() { base.order_by } else { spec.order_by.clone() };
        let window_frame = spec.window_frame.clone().or(base.window_frame);
        Ok(ast::WindowSpec { window_name: None, partition_by: base.partition_by, order_by, window_frame })
    }
}
