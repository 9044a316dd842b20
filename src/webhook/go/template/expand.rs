//! A template, carried out.

use super::{
    error::{Expand, TemplateError, error},
    functions::{Function, Value, World},
    lexer::Lexer,
    parser::{self, Command, Node, Operand, Pipeline},
};

/// `text` with its actions carried out.
pub fn expand(text: &str, world: &World<'_>) -> Expand<String> {
    let nodes = parser::parse(Lexer::new(text))?;
    let mut expanded = String::with_capacity(text.len());
    world.write(&nodes, &mut expanded)?;
    Ok(expanded)
}

impl World<'_> {
    fn write(&self, nodes: &[Node], out: &mut String) -> Expand<()> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value(pipeline) => out.push_str(&self.pipeline(pipeline)?.to_string()),
                Node::If { branches, otherwise } => self.write(self.branch(branches, otherwise)?, out)?,
            }
        }
        Ok(())
    }

    fn branch<'n>(&self, branches: &'n [(Pipeline, Vec<Node>)], otherwise: &'n [Node]) -> Expand<&'n [Node]> {
        for (condition, nodes) in branches {
            if self.pipeline(condition)?.is_true() {
                return Ok(nodes);
            }
        }
        Ok(otherwise)
    }

    /// The value of each command is the last argument of the next.
    fn pipeline(&self, pipeline: &Pipeline) -> Expand<Value> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, pipeline.line)?);
        }
        value.map_or_else(|| error(pipeline.line, "missing value for command"), Ok)
    }

    fn command(&self, command: &Command, piped: Option<Value>, line: usize) -> Expand<Value> {
        match command {
            Command::Value(operand) if piped.is_none() => self.operand(operand, line),
            Command::Value(_) => error(line, "only a function can take the value of a pipeline"),
            Command::Call { function, arguments } => {
                let mut values = Vec::new();
                for argument in arguments {
                    let value = self.operand(argument, line)?;
                    let decided = function.is_decided_by(&value);
                    values.push(value);
                    if decided {
                        return self.call(*function, values, line);
                    }
                }
                values.extend(piped);
                self.call(*function, values, line)
            }
        }
    }

    fn operand(&self, operand: &Operand, line: usize) -> Expand<Value> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Pipeline(pipeline) => self.pipeline(pipeline),
            Operand::Function(function) => self.call(*function, Vec::new(), line),
        }
    }

    fn call(&self, function: Function, values: Vec<Value>, line: usize) -> Expand<Value> {
        function.call(values, self).map_err(|problem| TemplateError { line, problem })
    }
}
