"""Sentences that Whisper writes where nobody speaks: endings and credits of videos it was trained on.

Collected from reports of its users (the discussions and issues of openai/whisper and faster-whisper), a study of its
output on sounds without speech (Baranski et al., 2025, arXiv 2501.11378), and runs of Whisper base on noise. In
lower case, without punctuation.
"""

from __future__ import annotations

SENTENCES = frozenset(
    (
        # English
        *("thank you", "thank you very much", "thank you so much", "thank you for watching", "thanks for watching"),
        *("thank you so much for watching", "thank you very much for watching", "thank you for listening"),
        *("please subscribe", "please subscribe to my channel", "please like and subscribe", "bye", "bye bye", "you"),
        *("subtitles by the amara org community", "see you next time", "see you in the next video"),
        # German
        *("vielen dank", "vielen dank fürs zuschauen", "danke fürs zuschauen", "bis zum nächsten mal"),
        *("untertitel der amara org community", "vielen dank für ihre aufmerksamkeit"),
        # French
        *("merci", "merci d avoir regardé cette vidéo", "merci d avoir regardé", "abonnez vous"),
        # Spanish, Portuguese, Italian, Dutch
        *("gracias", "gracias por ver el video", "gracias por ver", "suscríbete", "suscríbete al canal"),
        *("subtítulos por la comunidad de amara org", "subtítulos realizados por la comunidad de amara org"),
        *("obrigado", "obrigado por assistir", "obrigada por assistir", "legendas pela comunidade amara org"),
        *("grazie", "grazie per la visione", "grazie per aver guardato il video"),
        *("sottotitoli creati dalla comunità amara org", "bedankt voor het kijken"),
        # Russian, Ukrainian, Polish
        *("спасибо", "спасибо за просмотр", "продолжение следует", "спасибо за внимание", "до новых встреч"),
        *("дякую за перегляд", "дякую", "dziękuję", "dziękuję za uwagę", "dziękuję za oglądanie"),
        *("тревожная музыка", "спокойная музыка", "динамичная музыка", "аплодисменты"),
        # Turkish, Arabic, Swedish, Norwegian, Danish
        *("altyazı m k", "izlediğiniz için teşekkürler", "izlediğiniz için teşekkür ederim", "abone olmayı unutmayın"),
        *("شكرا", "شكرا على المشاهدة", "ترجمة نانسي قنقر", "اشتركوا في القناة"),
        *("tack för att ni tittade", "takk for at du så på", "tak fordi du så med"),
        # Chinese, Japanese, Korean
        *("谢谢", "谢谢大家", "谢谢观看", "感谢观看", "字幕由amara org社区提供", "ご視聴ありがとうございました"),
        *(
            "ありがとうございました",
            "おやすみなさい",
            "チャンネル登録お願いします",
            "시청해주셔서 감사합니다",
            "감사합니다",
        ),
    )
)
BEGINNINGS = (
    *("subtitles by ", "subtitled by ", "captions by ", "captioning by ", "transcription by ", "transcribed by "),
    *("untertitelung ", "untertitel im auftrag ", "untertitel von ", "sous titrage ", "sous titres réalisés "),
    *("sous titres par ", "sottotitoli e revisione ", "subtítulos por ", "legendado por ", "ondertiteld door "),
    *(
        "ondertitels ingediend door ",
        "napisy stworzone ",
        "субтитры сделал",
        "субтитры создавал",
        "субтитры подготовил",
    ),
    *("редактор субтитров ", "undertekster av ", "undertekster af ", "teksting av ", "textning ", "altyazı "),
    *("请不吝点赞 订阅 转发", "字幕志愿者", "字幕by", "字幕製作", "mbc 뉴스 "),
)
"""Beginnings of such sentences; a name follows."""
