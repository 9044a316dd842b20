//! What fails for a while, all around.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{OPERATOR, Storm};
use crate::support::{faulty_mail_server::Does, files::fill, forge::Answer};

/// Nobody listens there, and nobody is given that port by chance.
const NOWHERE: &str = "127.0.0.1:1";

#[derive(Clone, Copy, PartialEq)]
pub enum Weather {
    Hold,
    FullDisk,
    Mail,
    Forge,
}

impl Storm {
    pub fn is(&self, weather: Weather) -> bool {
        self.weather.iter().any(|(is, _)| *is == weather)
    }

    /// It lasts for half a minute at most.
    pub fn begin(&mut self, weather: Weather) {
        if self.is(weather) || weather == Weather::FullDisk && self.disk.is_none() {
            return;
        }
        self.weather.push((weather, Instant::now() + Duration::from_secs(1) + self.dice.moment(30_000)));
        let what = match weather {
            Weather::Hold => {
                let _ = self.command("build").args(["hold", "a storm"]).output().unwrap();
                "hold"
            }
            Weather::FullDisk => {
                fill(&self.ci.path("fill"));
                "full disk"
            }
            Weather::Mail => self.break_mail(),
            Weather::Forge => self.break_forge(),
        };
        self.struck(what);
    }

    fn break_mail(&mut self) -> &'static str {
        let (what, does) = match self.dice.roll(6) {
            0 => ("mail 4xx", Does::RefuseForNow),
            1 => ("mail 5xx", Does::RefuseForGood),
            2 => ("mail hangs", Does::HangInData),
            3 => ("mail drops", Does::DropAfterData),
            4 => ("mail is mute", Does::NeverGreet),
            _ => {
                self.ci.set("AMP_CI_SMTP_URL", &format!("smtp://{NOWHERE}"));
                return "mail is gone";
            }
        };
        self.mail.now(move |to| match (to, does) {
            ("", Does::NeverGreet) => does,
            // What is refused for good, somebody is told of.
            ("", _) | (OPERATOR, Does::RefuseForGood) => Does::Accept,
            _ => does,
        });
        what
    }

    fn break_forge(&mut self) -> &'static str {
        let (what, answer) = match self.dice.roll(5) {
            0 => ("forge 500", Answer::code(500)),
            1 => ("forge 503", Answer::code(503)),
            2 => ("forge hangs", Answer::Silence),
            3 => ("forge hangs up", Answer::HangUp),
            _ => {
                self.ci.set("AMP_CI_FORGE_API", &format!("http://{NOWHERE}/api/v3"));
                return "forge is gone";
            }
        };
        if let Some(forge) = &self.forge {
            forge.always(Some(answer));
        }
        what
    }

    /// Ends what has lasted long enough, or all of it.
    pub fn clear_up(&mut self, all: bool) {
        let now = Instant::now();
        let (over, lasting) =
            std::mem::take(&mut self.weather).into_iter().partition(|(_, end)| all || *end <= now);
        self.weather = lasting;
        let over: Vec<(Weather, Instant)> = over;
        for (weather, _) in &over {
            match weather {
                Weather::Hold => {
                    let _ = self.command("build").arg("unhold").output().unwrap();
                }
                Weather::FullDisk => _ = fs::remove_file(self.ci.path("fill")),
                Weather::Mail => {
                    self.mail.now(|_| Does::Accept);
                    self.ci.set("AMP_CI_SMTP_URL", &self.mail.url());
                }
                Weather::Forge => {
                    if let Some(forge) = &self.forge {
                        forge.always(None);
                        self.ci.set("AMP_CI_FORGE_API", &forge.url());
                    }
                }
            }
        }
        // One that stays has begun with the settings of then.
        if !over.is_empty() || all {
            self.touch_environment();
        }
    }
}
