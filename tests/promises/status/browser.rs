//! The page in a real browser.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    browser::{self, Browser},
    installation::{Installation, Push},
    need::or_skip,
    page::Page,
};

/// Is there a browser? Else it is said that the test is skipped.
fn can_run() -> bool {
    or_skip("AMP_CI_REQUIRE_BROWSER", browser::missing())
}

/// Texts that would be more than text somewhere: in HTML, in attributes, in URLs, in a terminal, in a script.
const HOSTILE: [&str; 9] = [
    "<script>document.title='owned'</script>",
    "\"><img/src=x/onerror=document.title='owned'>",
    "'onmouseover='document.title=1",
    "javascript:document.title='owned'",
    "&lt;b&gt;&#60;i&#62;",
    "${7*7}{{7*7}}<%=7*7%>",
    "é\u{202e}gnp.exe\u{2066}",
    "</pre></title></style><svg/onload=document.title='owned'>",
    "%3Cscript%3E#?&=",
];

fn result(outcome: &str, reason: &str) -> String {
    json!({"outcome": outcome, "rc": 1, "reason": reason, "started": "2026-11-22T11:14:05Z", "finished": "2026-11-22T11:14:09Z",
        "seconds": 4.0, "attempts": 1, "host": reason, "by": reason, "cause": reason})
    .to_string()
}

/// A home where every text that comes from outside is hostile.
fn hostile_home() -> Installation {
    let ci = Installation::new();
    fs::create_dir_all(ci.path("queue/bad")).unwrap();
    for (number, text) in HOSTILE.iter().enumerate() {
        // What git allows in a ref.
        let name: String = text.chars().filter(|c| !" ~^:?*[\\".contains(*c) && !c.is_control()).collect();
        let push = Push::to("amp_mgms", "x")
            .git_ref(&format!("refs/heads/{}", name.replace("//", "/").trim_end_matches('/')))
            .by(text, "");
        let id = format!("179534600{number}.1");
        let record = ci.path("builds").join(&id);
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join("request.json"), push.json()).unwrap();
        fs::write(record.join("result.json"), result("failed", text)).unwrap();
        fs::write(
            record.join("output.log"),
            format!("{text}\n\x1b[31m{text}\x1b]8;;javascript:alert(1)\x07{text}\n"),
        )
        .unwrap();
        ci.entry(&format!("179534610{number}.1"), &push.json());
        let running = ci.path(&format!("builds/179534630{number}.1"));
        fs::create_dir_all(&running).unwrap();
        fs::write(running.join("request.json"), push.json()).unwrap();
        fs::write(
            running.join("running.json"),
            json!({"attempt": 1, "host": text, "pid": 1, "script_pid": 2, "started": "2026-11-22T11:14:05Z", "workspace": text})
                .to_string(),
        )
        .unwrap();
        fs::write(ci.path(&format!("queue/build-179534630{number}.1.lock")), push.json()).unwrap();
        fs::write(ci.path(&format!("queue/bad/build-179534620{number}.1")), "").unwrap();
        fs::write(ci.path(&format!("queue/bad/build-179534620{number}.1.why")), text).unwrap();
    }
    fs::write(ci.path("queue/hold"), HOSTILE.join(" ")).unwrap();
    fs::write(
        ci.path("queue/drain.json"),
        json!({"pid": 1, "looked": "2026-11-22T11:14:05Z", "troubles": HOSTILE}).to_string(),
    )
    .unwrap();
    ci
}

#[test]
fn hostile_values_are_text_in_every_face() {
    if !can_run() {
        return;
    }
    let ci = hostile_home();
    let page = Page::of(&ci);
    let browser = Browser::start();
    let document: Value = serde_json::from_slice(&page.get("/status.json").body).unwrap();
    let branches: Vec<String> = page
        .text("/branches")
        .split("href=\"/branch?")
        .skip(1)
        .map(|rest| format!("/branch?{}", rest.split('"').next().unwrap().replace("&amp;", "&")))
        .collect();
    assert_eq!(branches.len(), HOSTILE.len());
    let builds = document["recent"]
        .as_array()
        .unwrap()
        .iter()
        .map(|build| format!("/builds/{}", build["id"].as_str().unwrap()));
    let fixed = [
        "/",
        "/builds",
        "/branches",
        "/failures.atom",
        "/badge.svg?repository=%3Cscript%3E",
        "/branch?repository=%3Cscript%3Ealert(1)%3C/script%3E&ref=%22%3E%3Cimg%20src=x%3E",
    ];
    let waiting = (0..HOSTILE.len()).map(|number| format!("/builds/179534610{number}.1"));
    let bad = (0..HOSTILE.len()).map(|number| format!("/builds/179534620{number}.1"));
    let running = (0..HOSTILE.len()).map(|number| format!("/builds/179534630{number}.1"));
    let fixed = fixed.map(String::from).into_iter();
    for path in fixed.chain(branches).chain(builds).chain(waiting).chain(bad).chain(running) {
        browser.open(&page.url(&path));
        let title = browser.run("return document.title").as_str().unwrap_or_default().to_string();
        assert!(!title.starts_with("owned") && title != "1", "{path}: a script ran");
        if !path.contains(".atom") && !path.contains(".svg") {
            let odd = browser.run("return [...document.querySelectorAll('script:not([src]),img,iframe,object,[onerror],[onload],[onmouseover],[style],[href]:not([href^=\"/\"]):not([href^=\"#\"])')].map(e => e.outerHTML)");
            assert_eq!(odd, json!([]), "{path}");
        }
        let errors: Vec<_> = browser
            .console()
            .into_iter()
            .filter(|entry| entry["source"] != "network" && entry["source"] != "other")
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
    }
    browser.open(&page.url("/"));
    let text = browser.text();
    for hostile in [HOSTILE[0], HOSTILE[1], HOSTILE[4]] {
        assert!(text.contains(hostile), "{hostile} is shown as it is: {text}");
    }
}

#[test]
fn a_build_is_seen_to_start_run_and_fail_without_a_reload() {
    if !can_run() {
        return;
    }
    let ci = Installation::new();
    ci.chunk("checkout_repos", "true");
    ci.chunk(
        "build_packages",
        &format!("echo first\n{}\nprintf ' 1%%\\r100%%\\n'; echo last\nexit 3", ci.stop_at("middle")),
    );
    let page = Page::of(&ci);
    let (list, one) = (Browser::start(), Browser::start());
    list.open(&page.url("/"));
    list.run("window.isTheSame = true");
    assert!(list.text().contains("Nothing has been built yet"));
    let id = ci.push(&Push::to("amp_mgms", "main").by("ana", ""));
    list.wait_for("it waits", "document.querySelector('[data-part=waiting] .waiting')");
    let mut build = ci.start_build(1);
    ci.wait_at("middle");
    list.wait_for("it runs", "document.querySelector('[data-part=running] .running')");
    one.open(&page.url(&format!("/builds/{id}")));
    one.run("window.isTheSame = true");
    one.wait_for("its output is there", "document.querySelector('.log').innerText.includes('first')");
    ci.let_go("middle");
    list.wait_for("the branch is red", "document.querySelector('.reds')?.innerText.includes('ana')");
    one.wait_for("it has failed", "document.querySelector('.verdict').innerText.includes('failed') && document.querySelector('pre.numbered')");
    build.wait();
    for browser in [&list, &one] {
        assert_eq!(browser.run("return window.isTheSame"), true, "the page was not loaded again");
        assert_eq!(browser.console(), [Value::Null; 0]);
    }
    let lines =
        one.run("return [...document.querySelectorAll('.l')].map(line => line.lastChild.textContent.trim())");
    assert!(lines.as_array().unwrap().contains(&json!("100%")), "progress is folded: {lines}");
    assert_eq!(list.run("return document.title"), "✗ 1 red · amp_ci");
}

#[test]
fn the_script_shows_a_log_as_the_server_does() {
    if !can_run() {
        return;
    }
    let ci = Installation::new();
    let record = ci.path("builds/1795346001.1");
    fs::create_dir_all(&record).unwrap();
    let push = Push::to("amp_mgms", "main");
    fs::write(record.join("request.json"), push.json()).unwrap();
    let running = json!({"attempt": 1, "host": "h", "pid": 1, "script_pid": 2, "started": "2026-11-22T11:14:05Z", "workspace": "/w"});
    fs::write(record.join("running.json"), running.to_string()).unwrap();
    fs::write(ci.path("queue/build-1795346001.1.lock"), push.json()).unwrap();
    let output = "plain\n\x1b[31mred\x1b[1mbold\x1b[0m none\n 1%\r 50%\r100%\nsame\r\n\n\x1b[38;5;196mx\x1b[48;2;0;0;200my\x1b[m\n\x1b[38:2::255:0:0mz\x1b[0m\
                  \x1b[2J\x1b[?25l\x1bcgone\x08\x07\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n\u{202e}turned\u{9b}2J\t<b>&\n\x1b[91;104mbright\x1b[22;39mover\nlines\x1b[m\né漢😀\n\x1b[7minverse\x1b[27m\nno end";
    fs::write(record.join("output.log"), output).unwrap();
    let page = Page::of(&ci);
    let browser = Browser::start();
    let path = page.url("/builds/1795346001.1");
    let lines = "return [...document.querySelectorAll('.log .l')].map(line => line.innerHTML.trimEnd())";
    browser.without_scripts(true);
    browser.open(&path);
    let by_the_server = browser.run(lines);
    browser.without_scripts(false);
    browser.open(&path);
    browser
        .wait_for("the script has shown it", "document.querySelector('.log').innerText.includes('no end')");
    browser.run("document.querySelectorAll('.log .l').forEach(line => line.normalize())");
    assert_eq!(browser.run(lines), by_the_server);
    assert_eq!(by_the_server.as_array().unwrap().len(), 14);

    // Past its limit an output shrinks, and that is said.
    fs::write(record.join("output.log"), "a new head\n").unwrap();
    browser.wait_for("it is noticed", "document.querySelector('[data-note]').innerText.includes('left out') && document.querySelector('.log').innerText.includes('a new head')");
}

#[test]
fn on_paper_it_is_light_whole_and_says_when_and_why() {
    if !can_run() {
        return;
    }
    let ci = Installation::building("for i in $(seq 300); do echo \"line $i\"; done; exit 1");
    let id = ci.push(&Push::to("amp_mgms", "main").by("ana", ""));
    ci.build(1);
    ci.push(&Push::to("amp_mgms", "main"));
    let page = Page::of(&ci);
    let browser = Browser::start();
    browser.size(750, 1000);
    browser.open(&page.url("/"));
    let as_on_screen = browser.run("return document.querySelector('.builds time').textContent");
    assert!(as_on_screen.as_str().unwrap().ends_with("ago") || as_on_screen == "just now", "{as_on_screen}");
    browser.on_paper();
    let is_seen = |selector: &str| {
        browser.run(&format!("return document.querySelector('{selector}').checkVisibility()"))
    };
    assert_eq!((is_seen("nav"), is_seen(".reds .go")), (json!(false), json!(false)), "nothing to press");
    assert_eq!(is_seen(".wait .y"), true, "why it waits");
    let time = browser.run("return document.querySelector('.builds time').textContent");
    let (day, hour) = time.as_str().unwrap().split_once(' ').expect("a day and an hour");
    assert!(day.starts_with("20") && day.len() == 10 && hour.len() == 5, "{time}");
    let is_whole = "return [...document.querySelectorAll('.rows time')].every(time => time.getBoundingClientRect().right <= innerWidth)";
    assert_eq!(browser.run(is_whole), true);
    browser.open(&page.url(&format!("/builds/{id}")));
    let log = browser.run("const log = document.querySelector('.log'); return [log.scrollHeight <= log.clientHeight, document.querySelectorAll('.l').length > 300]");
    assert_eq!(log, json!([true, true]), "the whole output is on the paper");
    let ink = browser.run("return getComputedStyle(document.documentElement).getPropertyValue('--ink')");
    assert_eq!(ink, "#1b1d20", "dark on light, whatever the screen is");
}

#[test]
fn it_is_usable_on_a_phone_without_scripts_and_by_everybody() {
    if !can_run() {
        return;
    }
    let ci = Installation::building("for i in $(seq 300); do echo \"line $i\"; done; echo the error; exit 1");
    let id = ci.push(
        &Push::to("amp_mgms", "a-branch-whose-name-is-as-long-as-names-of-branches-are-at-times")
            .by("ana", ""),
    );
    ci.build(1);
    ci.push(&Push::to("amp_mgms", "main"));
    let page = Page::of(&ci);
    let browser = Browser::start();
    let axe = browser::axe();
    let checks_access =
        or_skip("AMP_CI_REQUIRE_BROWSER", axe.is_none().then_some("axe-core is not installed"));
    let axe = axe.filter(|_| checks_access).map(|path| fs::read_to_string(path).unwrap());
    for path in [
        "/".to_string(),
        format!("/builds/{id}"),
        "/builds".to_string(),
        "/branches".to_string(),
        page_of_branch(&page),
    ] {
        for (width, height) in [(360, 800), (1600, 1000)] {
            for is_dark in [false, true] {
                browser.size(width, height);
                browser.dark(is_dark);
                browser.open(&page.url(&path));
                assert_eq!(browser.run("return innerWidth"), width);
                assert_eq!(
                    browser.run("return document.documentElement.scrollWidth <= innerWidth"),
                    true,
                    "{path} at {width}"
                );
                if let Some(axe) = &axe {
                    browser.run(axe);
                    let found = browser.run_async("const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | '))), e => done(String(e)))");
                    assert_eq!(found, json!([]), "{path} at {width}, dark {is_dark}");
                }
            }
        }
    }
    browser.without_scripts(true);
    for (width, height) in [(360, 800), (1600, 1000)] {
        browser.size(width, height);
        browser.open(&page.url("/"));
        let text = browser.text();
        assert!(text.contains("1 branch is red") && text.contains("broken by ana"), "{text}");
        browser.open(&page.url(&format!("/builds/{id}")));
        let is_in_view = "const lines = [...document.querySelectorAll('.l')], line = lines.find(l => l.innerText.includes('the error') && !l.innerText.includes('echo')), at = line.getBoundingClientRect(); return at.top > 0 && at.bottom < innerHeight";
        assert_eq!(browser.run(is_in_view), true, "the failing end is in view at {width}");
    }
}

fn page_of_branch(page: &Page) -> String {
    let text = page.text("/branches");
    text.split("href=\"")
        .find(|rest| rest.starts_with("/branch?"))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&")
}
